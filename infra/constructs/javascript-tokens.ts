// Splits JavaScript into tokens, just far enough to tell code from what stands in strings, comments and regular
// expressions, and to know what is at the top of a module. It is no parser: what it cannot follow it does not judge.

/** A word, a sign or a literal of a program. */
export interface Token {
  /** A word or a sign as it is written; of a string, a template or a regular expression the first letter alone. */
  readonly text: string;
  /** How many brackets are open around it; a bracket counts as outside of itself. */
  readonly depth: number;
}

// One after the other: blanks and comments, words, numbers, strings, signs. A number may end with letters (0x1f, 1e3, 1n).
const blanks = /(?:\s|\/\/[^\n]*|\/\*[^]*?\*\/)+/y;
const word = /[\p{ID_Start}$_#][\p{ID_Continue}$\u200c\u200d]*/uy;
const number = /\.?\d(?:[eE][+-]|[\w.])*/y;
const string = /"(?:[^"\\\n]|\\[^])*"|'(?:[^'\\\n]|\\[^])*'/y;
const regex = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
const sign =
  /=>|\.\.\.|[=!]==?|[<>]=|(?:\*\*|<<|>>>?|&&|\|\||\?\?|[-+*/%&|^])=|\+\+|--|\?\.(?!\d)|[-+*/%&|^!~<>=?:;,.@()[\]{}]/y;

const closing: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };
/** Words after which a value begins, so that a slash there begins a regular expression. */
const beforeValue = /^(?:return|typeof|case|do|else|in|of|instanceof|new|throw|void|delete|await|yield)$/;
/** What a round bracket belongs to, when the slash behind it begins a regular expression. */
const headed = /^(?:if|while|for|with)$/;

/** Returns the tokens of a program; nothing where a bracket or a literal is not closed, or a letter is none of the language's. */
export function tokensOf(code: string): readonly Token[] | undefined {
  try {
    return [...new Tokenizer(code).tokens()];
  } catch (error) {
    if (error instanceof Unreadable) return undefined;
    throw error;
  }
}

class Unreadable extends Error {}

/** An open bracket; that of a template's `${` is a backtick. */
interface Open {
  readonly text: string;
  /** What stood before it. */
  readonly before: string;
}

class Tokenizer {
  readonly #code: string;
  readonly #open: Open[] = [];
  #at = 0;
  /** The last token, and whether a slash after it begins a regular expression. */
  #last = '';
  #valueNext = true;

  constructor(code: string) {
    // The first line may be for the shell.
    this.#code = code.replace(/^#!.*/, '');
  }

  *tokens(): Generator<Token> {
    for (;;) {
      this.#take(blanks);
      if (this.#at >= this.#code.length) break;
      yield this.#next();
    }
    if (this.#open.length > 0) throw new Unreadable();
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const text = pattern.exec(this.#code)?.[0];
    if (text !== undefined) this.#at += text.length;
    return text;
  }

  #next(): Token {
    const depth = this.#open.length;
    const literal = this.#take(string) ?? (this.#valueNext ? this.#take(regex) : undefined);
    if (literal !== undefined) return this.#seen({ text: literal.charAt(0), depth }, false);
    if (this.#code[this.#at] === '`') {
      this.#at += 1;
      return this.#template(depth);
    }
    const name = this.#take(word) ?? this.#take(number);
    // A property may have the name of a keyword.
    if (name !== undefined) return this.#seen({ text: name, depth }, this.#last !== '.' && beforeValue.test(name));
    const text = this.#take(sign);
    if (text === undefined) throw new Unreadable();
    if (text in closing) {
      this.#open.push({ text, before: this.#last });
      return this.#seen({ text, depth }, true);
    }
    if (/[)\]}]/.test(text)) return this.#close(text);
    return this.#seen({ text, depth }, text !== '++' && text !== '--');
  }

  #close(text: string): Token {
    const opened = this.#open.pop();
    if (opened === undefined) throw new Unreadable();
    const depth = this.#open.length;
    if (text === '}' && opened.text === '`') return this.#template(depth);
    if (closing[opened.text] !== text) throw new Unreadable();
    // Behind a block a statement begins; a division behind an object or a function is what nobody writes.
    const valueNext = text === '}' || (text === ')' && headed.test(opened.before));
    return this.#seen({ text, depth }, valueNext);
  }

  /** Goes over a template's text to its end, or to the next expression in it. */
  #template(depth: number): Token {
    for (; this.#at < this.#code.length; this.#at++) {
      const letter = this.#code[this.#at];
      if (letter === '\\') this.#at += 1;
      else if (letter === '`') {
        this.#at += 1;
        return this.#seen({ text: '`', depth }, false);
      } else if (this.#code.startsWith('${', this.#at)) {
        this.#at += 2;
        this.#open.push({ text: '`', before: '`' });
        return this.#seen({ text: '`', depth }, true);
      }
    }
    throw new Unreadable();
  }

  #seen(token: Token, valueNext: boolean): Token {
    this.#last = token.text;
    this.#valueNext = valueNext;
    return token;
  }
}
