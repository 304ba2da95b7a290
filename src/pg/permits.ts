// Leave to connect, where something beyond this pool limits how many connections there may be.

import { type CreateContext, PoolError } from '../pool/index.ts';
import type { Session } from './session.ts';

/** Leave to be connected, where something beyond this pool limits how many may be. */
export interface Permits {
  /** Waits for leave to open one more connection. @returns gives it back; called again, it does nothing */
  take(context: CreateContext): Promise<() => void>;
  /** Whether a connection that comes back is to be closed, for somebody else to open one. Asked, it counts as done. */
  wanted(): boolean;
  /** How long connecting may take once there is leave to: the pool itself sets no limit to the wait for it. */
  readonly connectTimeoutMillis: number;
}

/** Gives up after so long, as the pool would: the signal fires, and what comes after that is `late`. */
export function inTime(
  context: CreateContext,
  millis: number,
  open: (context: CreateContext) => Promise<Session>,
  late: (session: Session) => void,
): Promise<Session> {
  const controller = new AbortController();
  let phase = 'the start';
  let settled = false;
  return new Promise((resolve, reject) => {
    const giveUp = (): void => {
      if (settled) return;
      const message = `Gave up making a connection after ${millis} ms, at ${phase}. See ERR_POOL_CREATE_TIMEOUT.`;
      controller.abort();
      reject(new PoolError('ERR_POOL_CREATE_TIMEOUT', message));
    };
    // Looked at after one more turn: what lies in the kernel already is no timeout.
    const timer = setTimeout(() => setImmediate(giveUp), millis).unref();
    open({
      ...context,
      budgetMillis: millis,
      signal: AbortSignal.any([context.signal, controller.signal]),
      phase: (name, error, peer) => {
        phase = name;
        context.phase(name, error, peer);
      },
    })
      .then((session) => {
        if (controller.signal.aborted) late(session);
        else resolve(session);
      }, reject)
      .finally(() => {
        settled = true;
        clearTimeout(timer);
      });
  });
}

/** Half of what the pool itself waits for a resource that is being destroyed. */
const goodbyeMillis = 250;

/** Says goodbye and waits, but not for long, until the server has ended the session: until then it counts there. */
export async function endedByServer(session: Session): Promise<void> {
  session.closing = true;
  let timer: NodeJS.Timeout | undefined;
  const outOfTime = new Promise((resolve) => {
    timer = setTimeout(resolve, goodbyeMillis);
  });
  await Promise.race([session.client.end().catch(() => {}), outOfTime]);
  clearTimeout(timer);
}
