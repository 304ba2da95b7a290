/** The scenarios of the lab, in the order of a report. */
import { scenario as blackHoledWhileFrozen } from './black-holed-while-frozen.ts';
import { bothJump, monotonicStops, setBack } from './clock-jumps.ts';
import { scenario as closedWhileFrozen } from './closed-while-frozen.ts';
import { concurrentInvocations, severalWorkers } from './concurrent.ts';
import { underway as expiredAtFirstStatement, scenario as expiredWhileFrozen } from './expired-while-frozen.ts';
import { scenario as finAfterThaw } from './fin-after-thaw.ts';
import { scenario as frozenInConnect } from './frozen-in-connect.ts';
import { scenario as frozenInQuery } from './frozen-in-query.ts';
import { answersLost, requestsLost } from './half-black-holed-while-frozen.ts';
import { scenario as handlerThrows } from './handler-throws.ts';
import { betweenQueries, inTransaction } from './killed-in-invocation.ts';
import { scenario as killedWhileFrozen } from './killed-while-frozen.ts';
import { earlyReturn, forgetsToRelease, throwsInTransaction, unawaitedQuery } from './leaks.ts';
import { outOfSlots, startingUp } from './not-yet-available.ts';
import { scenario as overdueTimers } from './overdue-timers.ts';
import { scenario as parallelBurst } from './parallel-burst.ts';
import { scenario as passwordRotated } from './password-rotated.ts';
import { scenario as resetWhileFrozen } from './reset-while-frozen.ts';
import type { Scenario } from './scenario.ts';
import { scenario as serverDownAtThaw } from './server-down-at-thaw.ts';
import { scenario as serverRestartedWhileFrozen } from './server-restarted-while-frozen.ts';
import { scenario as sigterm } from './sigterm.ts';
import { killedWhileStreaming, streamingCursor } from './streaming.ts';
import { scenario as timesOutInTransaction } from './times-out-in-transaction.ts';
import { scenario as waitersBehindBlackHole } from './waiters-behind-black-hole.ts';
import { scenario as warm } from './warm.ts';
import { demoted, oldName } from './writer-demoted.ts';

/** Every scenario. */
export const scenarios: readonly Scenario[] = [
  warm,
  killedWhileFrozen,
  expiredWhileFrozen,
  expiredAtFirstStatement,
  closedWhileFrozen,
  resetWhileFrozen,
  finAfterThaw,
  blackHoledWhileFrozen,
  requestsLost,
  answersLost,
  waitersBehindBlackHole,
  serverRestartedWhileFrozen,
  serverDownAtThaw,
  startingUp,
  outOfSlots,
  passwordRotated,
  demoted,
  oldName,
  frozenInConnect,
  frozenInQuery,
  overdueTimers,
  bothJump,
  monotonicStops,
  setBack,
  betweenQueries,
  inTransaction,
  handlerThrows,
  throwsInTransaction,
  forgetsToRelease,
  unawaitedQuery,
  timesOutInTransaction,
  earlyReturn,
  streamingCursor,
  killedWhileStreaming,
  sigterm,
  parallelBurst,
  concurrentInvocations,
  severalWorkers,
];

/**
 * Returns the scenario of that name.
 *
 * @throws When there is none; the message names those there are.
 */
export function findScenario(name: string): Scenario {
  const found = scenarios.find((each) => each.name === name);
  if (found) return found;
  throw new Error(`There is no scenario "${name}". Known: ${scenarios.map((each) => each.name).join(', ')}.`);
}
