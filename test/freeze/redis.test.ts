// Redis in a process that is really stopped and continued, and whose connection is really gone by then.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ChaosProxy, startChaosProxy } from '../lab/chaos-proxy.ts';
import { startRedis, type TestRedis, whyNoRedis } from '../support/redis.ts';

const reason = whyNoRedis();
if (reason !== undefined) console.warn(`The freeze of Redis is skipped: ${reason}.`);

/** The length of the freeze: longer than the process lets a connection go unproven. */
const frozenMillis = 50;

describe.skipIf(reason)(`a frozen process with a connection to Redis${reason ? ` (${reason})` : ''}`, () => {
  let server: TestRedis;
  let proxy: ChaosProxy;
  beforeAll(async () => {
    server = await startRedis();
    proxy = await startChaosProxy({ targetHost: server.host, targetPort: server.port });
  });
  afterEach(() => proxy.healed());
  afterAll(async () => {
    await proxy?.close();
    await server?.[Symbol.asyncDispose]();
  });

  const fates: Readonly<Record<string, () => Promise<void> | void>> = {
    'was left alone': () => {},
    'the server has ended': () => server.killClients(),
    'was reset': () => proxy.resetAll(),
    'fell into a black hole': () => proxy.blackhole(),
    'went with its server, which was started again': async () => {
      await server.stop();
      await server.start();
    },
  };

  it.each(Object.keys(fates))('answers the next invocation when its connection %s', async (fate) => {
    const sandbox = start(`redis://${proxy.host}:${proxy.port}`);
    try {
      expect(Number(await sandbox.invoke(fate))).toBe(1);
      const { opened } = proxy.snapshot();
      await sandbox.freeze();
      await fates[fate]?.();
      await sleepFor(frozenMillis);
      sandbox.thaw();
      expect(Number(await sandbox.invoke(fate))).toBe(fate.includes('server, which') ? 1 : 2);
      // One that was left alone is kept, unless the machine is too slow for its ping.
      expect(proxy.snapshot().opened - opened).toBeLessThanOrEqual(1);
    } finally {
      await sandbox.end();
    }
  });
});

function start(url: string) {
  const program = fileURLToPath(new URL('fixtures/redis-sandbox.ts', import.meta.url));
  const child = spawn(process.execPath, ['--conditions=@thawpool/source', program, url], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'] },
  });
  const exited = once(child, 'exit');
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async invoke(event: string): Promise<string> {
      child.stdin.write(`${event}\n`);
      const { value, done } = await answers.next();
      if (done) throw new Error(`The process ended: ${JSON.stringify(await exited)}`);
      return value;
    },
    async freeze(): Promise<void> {
      child.kill('SIGSTOP');
      // Sent is not stopped. The state is the field behind the name in brackets (proc(5)).
      const stopped = async (): Promise<boolean> => / T /.test(await readFile(`/proc/${child.pid}/stat`, 'utf8'));
      if (process.platform === 'linux') await expect.poll(stopped).toBe(true);
    },
    thaw: () => void child.kill('SIGCONT'),
    async end(): Promise<void> {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
