/**
 * The names of modules that PEFT selects by the patterns of adapter_config.json: lists of names and regular expressions
 * of Python, as in `check_target_module_exists` and `get_pattern_key` of PEFT.
 */
import { runInNewContext } from 'node:vm';
import { wrongInput } from '../../errors.ts';

/** Regular expressions of which Python and JavaScript mean the same. */
const shared = /^(?:[^\\([{]|\\[.dwsDWSbB_-]|\((?:\?[:=!])?(?!\?)|\[\^?(?:[^\]\\[]|\\[.dws_-])+\]|\{\d+(?:,\d*)?\})*$/;

/** An expression that takes longer than this on the names of a model repeats itself exponentially. */
const mostMilliseconds = 500;

/**
 * Those of the names that an expression matches, in its own process of V8 with a time limit: it comes from others.
 *
 * @param key of adapter_config.json that it stands in, for messages
 * @throws wrongInput if it uses what clm does not read as Python does, or takes too long
 */
function matching(
  source: string,
  whole: (source: string) => string,
  names: readonly string[],
  key: string,
): Set<string> {
  const refuse = (what: string): never => {
    throw wrongInput(`${key} has the regular expression ${JSON.stringify(source)}, ${what}`);
  };
  if (!shared.test(source)) refuse('with syntax that clm does not support; write the names of the modules instead');
  try {
    const found: unknown = runInNewContext(
      'names.filter((name) => expression.test(name))',
      { names: [...names], expression: new RegExp(whole(source)) },
      { timeout: mostMilliseconds },
    );
    return new Set(found as string[]);
  } catch (error) {
    return refuse(error instanceof SyntaxError ? 'which is not valid' : 'which takes too long');
  }
}

/** `re.fullmatch`. */
export const fullyMatching = (source: string, names: readonly string[], key: string): Set<string> =>
  matching(source, (inner) => `^(?:${inner})$`, names, key);

/** Names that are in a list, or end with a dot and a member of it. */
export const listed = (list: readonly string[], names: readonly string[]): Set<string> =>
  new Set(names.filter((name) => list.some((one) => name === one || name.endsWith(`.${one}`))));

/**
 * `rank_pattern` and `alpha_pattern`: for each name the value of the first expression that matches its end.
 *
 * @throws wrongInput as `matching`
 */
export function valuesByPattern<V>(
  patterns: Readonly<Record<string, V>>,
  names: readonly string[],
  key: string,
): Map<string, V> {
  const values = new Map<string, V>();
  for (const [source, value] of Object.entries(patterns)) {
    for (const name of matching(source, (inner) => `^(.*\\.)?(${inner})$`, names, key))
      if (!values.has(name)) values.set(name, value);
  }
  return values;
}
