import { AcquireError, AmbiguousResultError, PoolError } from 'thawpool';
import { expectTypeOf, test } from 'vitest';

// A generic class becomes PoolError<any> behind instanceof, and then any typing error in a code passes.
test('the code of an error is a string, also after instanceof', () => {
  const error: unknown = undefined;
  if (error instanceof PoolError) expectTypeOf(error.code).toEqualTypeOf<string>();
  if (error instanceof AcquireError) expectTypeOf(error.code).toEqualTypeOf<string>();
});

// Narrower than its base: a switch on the code of a result error needs no default.
test('the code of an ambiguous result is known', () => {
  expectTypeOf<AmbiguousResultError['code']>().toEqualTypeOf<'ERR_POOL_AMBIGUOUS_RESULT'>();
});
