/** What is done to a lab: while its sandbox is frozen, or in the middle of an invocation. */
import { setTimeout as wait } from 'node:timers/promises';
import type { ProxyMessage, Verdict } from '../chaos-proxy.ts';
import type { Lab } from '../lab.ts';
import { fatalError } from '../wire.ts';
import type { Random } from './random.ts';

/** One kind of fault. */
export interface Fault {
  readonly name: string;
  readonly weight: number;
  /** Nothing arrives at the sandbox that tells of it: only a round trip can. */
  readonly silent?: true;
  /** It ends connections or keeps them silent, so that a statement in its midst may fail. @default true */
  readonly breaks?: false;
  /** It needs a server that this process has started. */
  readonly ownServer?: true;
  /** Does it; of a fault in a freeze, what is done before the thaw. */
  inject(lab: Lab, random: Random): Promise<void> | void;
  /** Runs from the thaw on, while the handler does. */
  afterThaw?(lab: Lab, random: Random): Promise<void>;
}

async function terminateAll(lab: Lab): Promise<void> {
  const sql = 'select pg_terminate_backend(pid) from unnest($1::int[]) as pid';
  await lab.postgres.admin(sql, [await lab.sessions()]);
}

const idleTimeout = fatalError('57P05', 'terminating connection due to idle-session timeout');

const everywhere: readonly Fault[] = [
  { name: 'close', weight: 4, inject: ({ proxy }) => proxy.closeAll() },
  { name: 'reset', weight: 4, inject: ({ proxy }) => proxy.resetAll() },
  { name: 'terminate', weight: 3, inject: terminateAll },
  { name: 'black hole', weight: 3, silent: true, inject: ({ proxy }) => proxy.blackhole() },
  {
    name: 'black hole towards the server',
    weight: 2,
    silent: true,
    inject: ({ proxy }) => proxy.blackhole({ direction: 'toServer' }),
  },
  {
    name: 'black hole towards the client',
    weight: 2,
    silent: true,
    inject: ({ proxy }) => proxy.blackhole({ direction: 'toClient' }),
  },
  { name: 'restart', weight: 1, ownServer: true, inject: ({ postgres }) => postgres.restart('fast') },
  { name: 'crash', weight: 1, ownServer: true, inject: ({ postgres }) => postgres.restart('immediate') },
];

/** While the sandbox is frozen. None of these may fail an invocation. */
export const freezeFaults: readonly Fault[] = [
  ...everywhere,
  { name: 'idle session timeout', weight: 3, inject: ({ proxy }) => proxy.answerAll(idleTimeout) },
  {
    name: 'end that comes after the thaw',
    weight: 3,
    silent: true,
    inject({ proxy }) {
      proxy.hold('toClient');
      proxy.blackhole({ direction: 'toServer' });
    },
    async afterThaw({ proxy }, random) {
      await wait(random.between(1, 30));
      proxy.closeAll();
      proxy.letGo();
    },
  },
  {
    name: 'nobody listens at the thaw',
    weight: 2,
    async inject({ proxy }) {
      proxy.resetAll();
      await proxy.refuse(true);
    },
    async afterThaw({ proxy }, random) {
      await wait(random.between(20, 600));
      await proxy.refuse(false);
    },
  },
  { name: 'unheard goodbyes', weight: 1, breaks: false, inject: ({ proxy }) => proxy.silenceExits(true) },
];

const verdicts: readonly Exclude<Verdict, 'forward'>[] = [
  'close',
  'reset',
  'blackhole',
  'forward-close',
  'forward-reset',
  'forward-blackhole',
];

/** Takes one of the next messages for the last of its connection. */
function atMessage({ proxy }: Lab, random: Random): void {
  let left = random.between(1, 12);
  const verdict = verdicts[random.between(0, verdicts.length - 1)];
  proxy.onMessage(({ swallowed }: ProxyMessage) => {
    if (swallowed) return undefined;
    left -= 1;
    return left === 0 ? verdict : undefined;
  });
}

/** In the middle of an invocation, which may fail by it, if it says how. */
export const invocationFaults: readonly Fault[] = [
  ...everywhere,
  { name: 'at a message', weight: 12, silent: true, inject: atMessage },
  {
    name: 'delay',
    weight: 3,
    breaks: false,
    inject: ({ proxy }, random) => proxy.delay(random.between(1, 40)),
  },
  {
    name: 'stall',
    weight: 2,
    breaks: false,
    async inject({ proxy }, random) {
      proxy.hold(random.onceIn(2) ? 'toClient' : 'toServer');
      await wait(random.between(10, 200));
      proxy.letGo();
    },
  },
  {
    name: 'nobody listens',
    weight: 2,
    breaks: false,
    async inject({ proxy }, random) {
      await proxy.refuse(true);
      await wait(random.between(10, 400));
      await proxy.refuse(false);
    },
  },
];

/** Undoes what would last, save black holes: those are for the next thaw to find. */
export async function calm({ proxy }: Lab): Promise<void> {
  proxy.onMessage(undefined);
  proxy.delay(0);
  proxy.silenceExits(false);
  proxy.letGo();
  await proxy.refuse(false);
}
