import { whileFrozen } from './while-frozen.ts';

/** Something on the way resets the connection. */
export const scenario = whileFrozen({
  name: 'reset-while-frozen',
  title: 'the connection is reset (RST)',
  what: 'its connection is reset',
  harm: (lab) => lab.proxy.resetAll(),
});
