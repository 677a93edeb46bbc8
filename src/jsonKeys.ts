/** Keys that a JSON object has twice: JSON.parse keeps the last value and says nothing. */

const tokens = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gs;

/**
 * The keys that the object itself, not one inside it, has more than once.
 * @param text valid JSON of an object
 */
export function repeatedKeys(text: string): string[] {
  const keys = new Set<string>();
  const repeated: string[] = [];
  let depth = 0;
  let before = '';
  for (const [token] of text.matchAll(tokens)) {
    if (token === '{' || token === '[') depth++;
    else if (token === '}' || token === ']') depth--;
    else if (token === ':' && depth === 1) {
      const key = JSON.parse(before) as string;
      if (keys.has(key)) repeated.push(key);
      keys.add(key);
    }
    before = token;
  }
  return repeated;
}
