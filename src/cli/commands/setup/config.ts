/** `clm config show CONFIG` prints the complete config; `clm config schema` prints the JSON Schema for editors. */
import { renderConfigJsonSchema } from '../../../config/jsonSchema.ts';
import { loadConfig } from '../../../config/load.ts';
import { renderConfig } from '../../../config/resolved.ts';
import { note, printJson, printPart } from '../../terminal/output.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { configSchemaUsage, configShowUsage } from './usage.ts';

export function show({ config: path, set, json }: ArgumentsOf<typeof configShowUsage>): void {
  const config = loadConfig(path, { set, onReplaced: note });
  if (json) printJson(config);
  else printPart(renderConfig(config));
}

/** A schema is JSON anyway; with --json it is on one line. */
export function schema({ json }: ArgumentsOf<typeof configSchemaUsage>): void {
  if (json) printJson(JSON.parse(renderConfigJsonSchema()));
  else printPart(renderConfigJsonSchema());
}
