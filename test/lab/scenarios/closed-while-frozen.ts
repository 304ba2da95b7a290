import { whileFrozen } from './while-frozen.ts';

/** Something on the way closes the connection with FIN and without a word of protocol. */
export const scenario = whileFrozen({
  name: 'closed-while-frozen',
  title: 'the connection is closed (FIN)',
  what: 'its connection is closed',
  harm: (lab) => lab.proxy.closeAll(),
});
