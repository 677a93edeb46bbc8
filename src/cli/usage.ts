/** The interface of a command, as data: overview, help, shell completion and the reference are made from it. */
import type { InferredOptionType, Options, PositionalOptions } from 'yargs';

export interface Usage {
  /** As typed after `clm`, e.g. `sample <run>` or `runs show <run>`. */
  readonly command: string;
  readonly describe: string;
  readonly positionals?: Readonly<Record<string, PositionalOptions>>;
  readonly options?: Readonly<Record<string, Options>>;
  /** Options whose value may be left out: what a value looks like, and what stands for a missing one. */
  readonly optionalValues?: Readonly<Record<string, { readonly looksLike: RegExp; readonly otherwise: string }>>;
  readonly examples: readonly (readonly [command: string, describe: string])[];
}

/** Keeps the literal types of a definition, from which `ArgumentsOf` infers the arguments. */
export const defineUsage = <const U extends Usage>(usage: U): U => usage;

/** 'top-k' → 'topK' */
type CamelCase<Name> = Name extends `${infer First}-${infer Rest}` ? `${First}${Capitalize<CamelCase<Rest>>}` : Name;

type Definitions<U extends Usage> = NonNullable<U['positionals']> & NonNullable<U['options']>;

/** What a command is called with, by the camelCase names of its positionals and options. */
export type ArgumentsOf<U extends Usage> = {
  [K in keyof Definitions<U> as CamelCase<K>]: InferredOptionType<Definitions<U>[K]>;
};

/** The words that name a command, e.g. `runs show`. */
export const nameOf = ({ command }: Usage): string => command.replace(/ [<[].*/, '');
