import { killSessions } from './scenario.ts';
import { whileFrozen } from './while-frozen.ts';

/** The server terminates the sandbox's sessions: FATAL 57P01, then FIN, both waiting in the socket at the thaw. */
export const scenario = whileFrozen({
  name: 'killed-while-frozen',
  title: 'the server terminates the session',
  what: 'the server terminates its session (57P01)',
  harm: killSessions,
});
