/** What a day has brought in. */
import type { Queryable } from './queryable.ts';

/** The totals of one day in UTC. */
export interface DailyReport {
  /** `2026-11-21`. */
  readonly day: string;
  readonly orders: number;
  readonly customers: number;
  /** In cents, as text: a sum over many orders may exceed 2^53, where a JavaScript number is no longer exact. */
  readonly revenue: string;
}

// Both ends of the day are computed from the parameter, so that the index on created_at is used.
const SELECT_TOTALS = `
  select count(*)::int as orders, count(distinct customer)::int as customers,
    coalesce(sum(total_cents), 0)::text as revenue
  from orders
  where created_at >= $1::timestamp at time zone 'UTC'
    and created_at < ($1::timestamp + interval '1 day') at time zone 'UTC'`;

// A schedule fires at least once: a second run of the same day corrects the first.
const UPSERT_REPORT = `
  insert into reports (day, orders, customers, revenue_cents) values ($1, $2, $3, $4)
  on conflict (day) do update
  set orders = excluded.orders, customers = excluded.customers, revenue_cents = excluded.revenue_cents,
    made_at = now()`;

/** Returns the day, in UTC, before the one in which `time` lies. */
export function dayBefore(time: string): string {
  const day = new Date(time);
  day.setUTCDate(day.getUTCDate() - 1);
  return day.toISOString().slice(0, 10);
}

/** Adds up the orders of a day and stores the result. */
export async function reportDay(db: Queryable, day: string): Promise<DailyReport> {
  const { rows } = await db.query<Omit<DailyReport, 'day'>>(SELECT_TOTALS, [day]);
  const { orders = 0, customers = 0, revenue = '0' } = rows[0] ?? {};
  await db.query(UPSERT_REPORT, [day, orders, customers, revenue]);
  return { day, orders, customers, revenue };
}
