/** What an order is, and how one is read out of JSON that somebody else has written. It knows no database. */

/** One line of an order. `price` is in cents: money is counted in whole numbers, never in fractions. */
export interface OrderItem {
  readonly sku: string;
  readonly quantity: number;
  readonly price: number;
}

/** An order before it is stored. */
export interface OrderDraft {
  readonly customer: string;
  readonly items: readonly OrderItem[];
}

/** A stored order. `total` is in cents. */
export interface Order extends OrderDraft {
  readonly id: string;
  readonly total: number;
  readonly createdAt: string;
}

/** A draft, or everything that is wrong with it. */
export type Parsed = { readonly draft: OrderDraft } | { readonly problems: readonly string[] };

// Together they keep the largest total, 10^14 cents, below 2^53: a JavaScript number holds it exactly.
const MAX_ITEMS = 100;
const MAX_QUANTITY = 10_000;
const MAX_PRICE = 100_000_000;
const MAX_TEXT = 200;
/** How much of a wrong value is shown. */
const SHOWN_CHARACTERS = 40;

/** Adds up an order's lines, in cents. */
export function totalOf(items: readonly OrderItem[]): number {
  return items.reduce((sum, { quantity, price }) => sum + quantity * price, 0);
}

/** Reads an order from the text of a JSON document and says everything that is wrong with it at once. */
export function parseDraft(text: string): Parsed {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { problems: ['the body must be JSON'] };
  }
  if (!isRecord(value)) return { problems: ['the body must be an object with customer and items'] };
  const { customer, items } = value;
  const problems: string[] = [];
  checkText(problems, 'customer', customer);
  if (!Array.isArray(items) || items.length === 0 || items.length > MAX_ITEMS) {
    problems.push(`items must be a list of 1 to ${MAX_ITEMS} items`);
  } else {
    for (const [index, item] of items.entries()) checkItem(problems, `items[${index}]`, item);
  }
  if (problems.length > 0) return { problems };
  const lines = items as OrderItem[];
  return {
    draft: {
      customer: customer as string,
      items: lines.map(({ sku, quantity, price }) => ({ sku, quantity, price })),
    },
  };
}

function checkItem(problems: string[], name: string, item: unknown): void {
  if (!isRecord(item)) {
    problems.push(`${name} must be an object with sku, quantity and price`);
    return;
  }
  checkText(problems, `${name}.sku`, item['sku']);
  checkInteger(problems, `${name}.quantity`, item['quantity'], 1, MAX_QUANTITY);
  checkInteger(problems, `${name}.price`, item['price'], 0, MAX_PRICE, ' of cents');
}

function checkText(problems: string[], name: string, value: unknown): void {
  // PostgreSQL's text holds every character but U+0000.
  const fine = typeof value === 'string' && value.trim() !== '' && value.length <= MAX_TEXT && !value.includes('\0');
  if (!fine) problems.push(`${name} must be a text of 1 to ${MAX_TEXT} characters`);
}

function checkInteger(problems: string[], name: string, value: unknown, min: number, max: number, unit = ''): void {
  const fine = Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
  const got = value === undefined ? 'nothing' : JSON.stringify(value).slice(0, SHOWN_CHARACTERS);
  if (!fine) problems.push(`${name} must be a whole number${unit} from ${min} to ${max}, got ${got}`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
