/**
 * fast-check, with the same cases in every run of CI: a case that nobody has met before is found by runs elsewhere, and not
 * by whoever has changed something else.
 */
import fc from 'fast-check';

if (process.env['CI']) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: 20_261_101 });

export { fc };
