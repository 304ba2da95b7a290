import { whileFrozen } from './while-frozen.ts';

/** Only what the sandbox sends is lost: a firewall that has forgotten the flow lets the other side's packets through. */
export const requestsLost = whileFrozen({
  name: 'requests-lost-while-frozen',
  title: 'the way to the server is lost',
  what: 'what it sends on its connection is lost from then on',
  silent: true,
  harm: (lab) => lab.proxy.blackhole({ direction: 'toServer' }),
});

/** Only what the server sends is lost: it does what it is asked, and nobody hears. */
export const answersLost = whileFrozen({
  name: 'answers-lost-while-frozen',
  title: 'the way from the server is lost',
  what: 'what the server sends on its connection is lost from then on',
  silent: true,
  harm: (lab) => lab.proxy.blackhole({ direction: 'toClient' }),
});
