/** pg-cursor, which brings no types, with those that the tests use. */
import type pg from 'pg';
// @ts-expect-error -- it has none
import Untyped from 'pg-cursor';

export interface Cursor extends pg.Submittable {
  read(count: number): Promise<unknown[]>;
  close(): Promise<void>;
}

export const Cursor = Untyped as new (text: string, values?: readonly unknown[]) => Cursor;
