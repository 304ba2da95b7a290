// Mutants are judged by the tests of their own module, not by those of the whole pool: a decision that only a long story
// shows to be wrong is a decision without a test.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/unit/{lambda,pg}/*.test.ts', 'test/unit/pool/{clock,policy,waiters}*.test.ts'],
    // It asks whether it runs in the main thread, which it does not here, and covers none of the mutated files.
    exclude: ['test/unit/lambda/environment-limit.test.ts'],
  },
});
