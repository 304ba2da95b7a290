/** What the lab tells every subject but thawpool, which has variables of its own, and what a password is read from. */
import { readFile } from 'node:fs/promises';

const { DATABASE_URL, LAB_MAX, LAB_PASSWORD_FILE } = process.env as Record<string, string | undefined>;

/** Where the database is; without it the drivers read libpq's variables. */
export const place: { readonly connectionString?: string } =
  DATABASE_URL === undefined ? {} : { connectionString: DATABASE_URL };

/** The most connections, where the scenario limits them; given to thawpool as `THAWPOOL_MAX`. */
export const limit: { readonly max?: number } = LAB_MAX === undefined ? {} : { max: Number(LAB_MAX) };

/** The password as it is at that moment, where the lab keeps it in a file; else it is in the connection string. */
export const secret: { readonly password?: () => Promise<string> } =
  LAB_PASSWORD_FILE === undefined ? {} : { password: () => readFile(LAB_PASSWORD_FILE, 'utf8') };
