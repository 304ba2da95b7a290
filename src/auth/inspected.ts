/** Names the method by which an object shows itself to `inspect()` (Node.js documentation, util.inspect.custom). It is this symbol, so that node:util need not be loaded. */
export const inspected: unique symbol = Symbol.for('nodejs.util.inspect.custom');
