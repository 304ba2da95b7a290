import { whileFrozen } from './while-frozen.ts';

/** Something on the way forgets the connection, as a NAT gateway does: what is sent goes nowhere, nobody is told. */
export const scenario = whileFrozen({
  name: 'black-holed-while-frozen',
  title: 'the connection is forgotten on the way (silent drop)',
  what: 'its connection starts to swallow every byte',
  silent: true,
  harm: (lab) => lab.proxy.blackhole(),
});
