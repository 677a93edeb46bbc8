/** Keys that a JSON object has twice: JSON.parse keeps the last value and says nothing. */

const tokens = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gs;

/**
 * The keys that the object itself has more than once.
 * @param text valid JSON of an object
 * @param isDeep whether those of the objects inside it count, too
 */
export function repeatedKeys(text: string, isDeep = false): string[] {
  const keysOfOpen: Set<string>[] = [];
  const repeated: string[] = [];
  let before = '';
  for (const [token] of text.matchAll(tokens)) {
    if (token === '{' || token === '[') keysOfOpen.push(new Set());
    else if (token === '}' || token === ']') keysOfOpen.pop();
    else if (token === ':' && (isDeep || keysOfOpen.length === 1)) {
      const key = JSON.parse(before) as string;
      const keys = keysOfOpen.at(-1)!;
      if (keys.has(key)) repeated.push(key);
      keys.add(key);
    }
    before = token;
  }
  return repeated;
}
