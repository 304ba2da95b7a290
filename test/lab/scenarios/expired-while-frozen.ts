import type { Lab } from '../lab.ts';
import { fatalError } from '../wire.ts';
import { allEnded, everyInvocationAnswers, needsOwnServer, recorder, type Scenario, soon } from './scenario.ts';
import { LONG_MILLIS } from './while-frozen.ts';

/** Above the pause between two invocations of this scenario, below its freezes. */
const IDLE_TIMEOUT_MILLIS = 150;
/** A subject may ask for a longer one than the role has: then the proxy says the server's words itself. */
const PATIENCE_MILLIS = 500;
const EXPIRED = fatalError('57P05', 'terminating connection due to idle-session timeout');

async function expire(lab: Lab): Promise<void> {
  await soon(lab.proxy.until(allEnded), PATIENCE_MILLIS);
  lab.proxy.answerAll(EXPIRED);
}

/** Runs `story` while sessions of the sandbox's role end after a short idle time. */
async function whileSessionsExpire<T>({ postgres }: Lab, story: () => Promise<T>): Promise<T> {
  await postgres.admin(`alter role "${postgres.user}" set idle_session_timeout = ${IDLE_TIMEOUT_MILLIS}`);
  try {
    return await story();
  } finally {
    await postgres.admin(`alter role "${postgres.user}" reset idle_session_timeout`);
  }
}

/** The server ends idle sessions by itself: FATAL 57P05, then FIN, both waiting in the socket at the thaw. */
export const scenario: Scenario = {
  name: 'expired-while-frozen',
  title: 'idle_session_timeout ends the session',
  rule: 'No invocation fails, although idle_session_timeout ends its session (57P05) while the sandbox is frozen.',
  unable: needsOwnServer,
  run: (lab) =>
    whileSessionsExpire(lab, async () => {
      const { invoke, invocations } = recorder(lab);
      await invoke('cold');
      await lab.freezeFor(0, () => expire(lab));
      await invoke('after a short freeze');
      await lab.freezeFor(LONG_MILLIS, () => expire(lab));
      await invoke('after 1.1 s');
      return { invocations };
    }),
  judge: everyInvocationAnswers,
};

/** The same words come only after the thaw, in answer to the first statement: the server never read that. */
export const underway: Scenario = {
  name: 'expired-at-first-statement',
  title: 'idle_session_timeout answers the first statement',
  rule: 'No invocation fails, although 57P05 comes after the thaw, as the answer to its first statement.',
  unable: needsOwnServer,
  run: (lab) =>
    whileSessionsExpire(lab, async () => {
      const { invoke, invocations } = recorder(lab);
      await invoke('cold');
      await lab.freezeFor(0, async () => {
        lab.proxy.hold('toClient');
        await expire(lab);
      });
      const before = lab.snapshot();
      await invoke(
        'after the thaw',
        { op: 'query' },
        {
          async meanwhile() {
            await soon(lab.proxy.until(() => Object.keys(lab.since(before).frontend).length > 0));
            lab.proxy.letGo();
          },
        },
      );
      await invoke('warm');
      return { invocations };
    }),
  judge: everyInvocationAnswers,
};
