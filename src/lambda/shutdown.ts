// Says goodbye to the server when the sandbox is about to be shut down, where Lambda tells us.

/** Lambda ends the process 300 ms after SIGTERM (500 ms with an internal extension); source: Lambda extensions API. */
const goodbyeMillis = 250;

const closers: (() => Promise<void>)[] = [];

/**
 * On SIGTERM, has everything idle closed, and then lets the signal do what it would have done without us: a process
 * that listens for it no longer ends by it. Lambda sends it only where an extension is registered.
 */
export function closeOnSigterm(closeIdle: () => Promise<void>): void {
  if (closers.length === 0) process.on('SIGTERM', listener);
  closers.push(closeIdle);
}

function listener(): void {
  void onSigterm();
}

async function onSigterm(): Promise<void> {
  process.off('SIGTERM', listener);
  const closing = closers.splice(0).map((closeIdle) => closeIdle());
  let timer: NodeJS.Timeout | undefined;
  const outOfTime = new Promise((resolve) => {
    timer = setTimeout(resolve, goodbyeMillis);
  });
  await Promise.race([Promise.allSettled(closing), outOfTime]);
  clearTimeout(timer);
  // Whoever else listens decides when the process ends.
  if (process.listenerCount('SIGTERM') === 0) process.kill(process.pid, 'SIGTERM');
}
