import { allEnded, whileFrozen } from './while-frozen.ts';

/** The server restarts, as in a failover or a minor upgrade, and is back before the thaw. */
export const scenario = whileFrozen({
  name: 'server-restarted-while-frozen',
  title: 'the server restarts',
  what: 'the server restarts',
  unable: (lab) => (lab.postgres.managed ? undefined : 'the server of DATABASE_URL cannot be restarted from here'),
  async harm(lab) {
    await lab.postgres.restart('fast');
    await lab.proxy.until(allEnded);
  },
});
