/** A process of the section on warm invocations: one handler, invoked again and again without a freeze. */
import { quantile } from '../statistics.ts';
import { type Context, type Handler, handlers } from './handlers.ts';

const ORDERS = 1000;
const TIMEOUT_MILLIS = 3000;
const WARM_UP = 3000;

let handler: Handler;
let invocations = 0;

/** Each invocation has a context of its own, as on Lambda. */
function context(): Context {
  const deadline = Date.now() + TIMEOUT_MILLIS;
  return { awsRequestId: `request-${invocations}`, getRemainingTimeInMillis: () => deadline - Date.now() };
}

async function invoke(): Promise<void> {
  invocations += 1;
  const id = (invocations % ORDERS) + 1;
  const order = await handler({ id }, context());
  if (order?.id !== id) throw new Error(`Asked for order ${id}, got ${order?.id}.`);
}

/** Makes the handler and invokes it until it is warm. */
export async function open(name: string): Promise<void> {
  const make = handlers[name];
  if (make === undefined) throw new Error(`There is no handler "${name}".`);
  handler = await make();
  for (let n = 0; n < WARM_UP; n += 1) await invoke();
}

/** @returns the time within which this share of so many invocations was answered, in microseconds */
export async function latency(count: number, share: number): Promise<number> {
  const micros: number[] = [];
  for (let n = 0; n < count; n += 1) {
    const from = performance.now();
    await invoke();
    micros.push((performance.now() - from) * 1000);
    // The runtime asks for the next event: whatever the invocation has left behind is done between the two.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return quantile(micros, share);
}
