/** The part of a pool, a client or a transaction that the order service needs. */
export interface Queryable {
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as in pg, the caller says what a row holds
  query<Row extends object>(text: string, values?: unknown[]): Promise<{ rows: Row[] }>;
}
