/**
 * The config schema: every key with its type, default, unit and meaning. First row of the walk. The type `Config`,
 * the checks of `loadConfig` and the JSON Schema for editors all come from here, so a key is described once; each
 * section of the config has its file in sections/.
 *
 * Mappings are strict: an unknown key is a problem. `null` means "never" or "not given". A mapping that is left out
 * is filled with the defaults of its keys (`prefault({})`). A later kind of tokenizer, model, optimizer or schedule
 * joins the enum; a key that only some kinds have is null by default, and crossChecks.ts refuses it with the others.
 */
import { z } from 'zod';
import { checkpoints } from './sections/checkpoints.ts';
import { corpus } from './sections/corpus.ts';
import { evaluation } from './sections/evaluation.ts';
import { model } from './sections/model.ts';
import { optimizer } from './sections/optimizer.ts';
import { reports } from './sections/reports.ts';
import { samples } from './sections/samples.ts';
import { schedule } from './sections/schedule.ts';
import { start } from './sections/start.ts';
import { tokenizer } from './sections/tokenizer.ts';
import { training } from './sections/training.ts';

/** Shape and ranges of a config whose `extends` are merged and whose `name` is filled in; see `loadConfig`. */
export const configSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]*$/, "made of letters, digits, '.', '_' and '-', without a leading dot")
    .describe(
      "Name of the run: letters, digits, '.', '_', '-', no leading dot. Default: base name of the config file.",
    ),
  seed: z.int().min(0).max(0xffffffff).default(1337).describe('Seed of everything random; 0 … 4294967295.'),
  device: z
    .enum(['auto', 'cpu', 'cuda'])
    .default('auto')
    .describe('Where to compute; auto takes a GPU where the set-up found one.'),
  start,
  corpus,
  tokenizer,
  model,
  training,
  optimizer,
  schedule,
  evaluation,
  checkpoints,
  samples,
  reports,
});

/** A type with every property, at any depth, read-only; the loaded config is frozen. */
type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/**
 * A complete config: every key has its value, paths are absolute, and exactly one of `training.steps`,
 * `training.tokens` and `training.epochs` is not null.
 */
export type Config = DeepReadonly<z.output<typeof configSchema>>;
