/** Texts of the program as sentences of the page. */

/** A note as a sentence: with a capital, unless it begins with one of `names`, and a full stop. */
export function sentence(note: string, names: Iterable<string> = []): string {
  const named = [...names].some((name) => name !== "" && note.startsWith(name) && !/^[\p{L}\p{N}_]/u.test(note.slice(name.length)));
  const begun = named ? note : note.replace(/^\p{Ll}/u, (letter) => letter.toUpperCase());
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

/** Why something has no value, after its label: a text that begins with the name says it itself. */
export function reason(label: string, failure: string): string {
  return failure.startsWith(`'${label}'`) ? failure : `${label}: ${failure}`;
}

/** The first line of an error without the name in front, where that is told beside it. */
export function headline(message: string, name: string): string {
  const line = message.split("\n")[0]!;
  const mark = `[${name}] `;
  return line.startsWith(mark) ? line.slice(mark.length) : line;
}
