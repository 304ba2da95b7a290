/** A freeze in a test's own process: its thread stands still while another one does harm. */
import { Worker } from 'node:worker_threads';
import { inject } from 'vitest';

/** A chaos proxy in a thread of its own, which works while this one is stopped. */
export interface Elsewhere {
  readonly port: number;
  /** Stops this thread, as a freeze does, until the proxy has done that. What it sent lies in the kernel then. */
  during(verb: 'closeAll' | 'resetAll' | 'blackhole' | 'nothing'): void;
  close(): Promise<unknown>;
}

/** A message across threads, the close of a socket and its segments on the loopback: each takes well under this. */
const arrivedMillis = 20;

/** Starts it in front of the integration tests' server. */
export async function proxyElsewhere(): Promise<Elsewhere> {
  const { host, port } = inject('postgres');
  const done = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     import(workerData.module).then(async ({ startChaosProxy }) => {
       const proxy = await startChaosProxy(workerData.target);
       // And two turns more: a thread that was kept waiting finds its timers due before it has done what it was at.
       const wait = () => new Promise((resolve) =>
         setTimeout(() => setImmediate(() => setImmediate(resolve)), ${arrivedMillis}));
       parentPort.on('message', async (verb) => {
         await wait(); // What is on its way to this thread arrives before.
         if (verb !== 'nothing') proxy[verb]();
         await wait();
         Atomics.store(workerData.done, 0, 1);
         Atomics.notify(workerData.done, 0);
       });
       parentPort.postMessage(proxy.port);
     });`,
    {
      eval: true,
      workerData: {
        module: new URL('../lab/chaos-proxy.ts', import.meta.url).href,
        target: { targetHost: host, targetPort: port },
        done,
      },
    },
  );
  const listensOn = await new Promise<number>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  return {
    port: listensOn,
    during(verb) {
      Atomics.store(done, 0, 0);
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      worker.postMessage(verb);
      Atomics.wait(done, 0, 0);
    },
    close: () => worker.terminate(),
  };
}
