/** The JSON Schema of config files, by which editors complete and check them; made from the config schema. */
import { z } from 'zod';
import { configSchema } from './schema.ts';

const fileSchema = z.strictObject({
  extends: z
    .string()
    .min(1)
    .optional()
    .describe('Another config file, relative to this one; the keys of this file are laid over it.'),
  ...configSchema.shape,
});

/** What a config file may hold. Nothing is required of a mapping, because the file may extend one that gives it. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(fileSchema, {
    io: 'input',
    override: ({ jsonSchema, path }) => {
      if (!path.includes('items')) delete jsonSchema.required;
    },
  });
  return { ...(withReferences(schema) as Record<string, unknown>), title: 'clm config' };
}

/** Where a number, a choice or the like stands, `${…}` may stand for it (interpolation.ts). */
const referenceSchema = { type: 'string', pattern: '^\\$\\{' };

function withReferences(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withReferences);
  if (typeof schema !== 'object' || schema === null) return schema;
  const entries = Object.entries(schema).map(([key, value]) => {
    if (key === 'properties') return [key, withReferencesIn(value as object)];
    return [key, ['items', 'prefixItems', 'anyOf', 'oneOf'].includes(key) ? withReferences(value) : value];
  });
  return Object.fromEntries(entries);
}

/** The keys of a mapping, each with its description and default outside of the alternatives, where editors look. */
function withReferencesIn(properties: object): Record<string, unknown> {
  const entries = Object.entries(properties).map(([key, value]) => {
    const { description, default: standard, ...rest } = withReferences(value) as Record<string, unknown>;
    // Editors show the default where they complete, not where they explain.
    const isShown =
      typeof description === 'string' &&
      standard !== undefined &&
      (typeof standard !== 'object' || standard === null || Array.isArray(standard));
    const about = {
      ...(description !== undefined && {
        description: isShown ? `${description} (default: ${JSON.stringify(standard)})` : description,
      }),
      ...(standard !== undefined && { default: standard }),
    };
    if (['object', 'array', 'string'].includes(String(rest['type']))) return [key, { ...about, ...rest }];
    const { anyOf, ...single } = rest as { anyOf?: unknown[] };
    return [key, { ...about, anyOf: [...(anyOf ?? [single]), referenceSchema] }];
  });
  return Object.fromEntries(entries);
}

/** The text of schema/config.schema.json. */
export function renderConfigJsonSchema(): string {
  return `${JSON.stringify(configJsonSchema(), null, 2)}\n`;
}
