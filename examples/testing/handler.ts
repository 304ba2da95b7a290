import { withPool } from 'thawpool';

/** Answers with the square of a number, which the database works out. */
export const handler = withPool(async ({ side }: { side: number }, { db }) => {
  const { rows } = await db.query<{ area: number }>('select $1::int * $1::int as area', [side]);
  return rows[0]?.area;
});
