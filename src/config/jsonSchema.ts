/** The JSON Schema of config files, for completion and checks in editors; generated from the config schema. */
import { z } from 'zod';
import { formerPathsKey } from './paths/relativePaths.ts';
import { configSchema } from './schema.ts';

const fileSchema = z.strictObject({
  extends: z
    .string()
    .min(1)
    .optional()
    .describe('Another config file, relative to this one, whose keys this file overrides.'),
  ...configSchema.shape,
  [formerPathsKey]: z
    .record(z.string(), z.string())
    .optional()
    .describe(
      'Written by clm in the config.yaml of a run: relative paths of this file, and the absolute ones they were, ' +
        'which are tried where there is nothing at the relative ones.',
    ),
});

/** No key of a mapping is required, because the file may extend one that sets it. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(fileSchema, {
    io: 'input',
    override: ({ jsonSchema, path }) => {
      if (!path.includes('items')) delete jsonSchema.required;
    },
  });
  return { ...(withReferences(schema) as Record<string, unknown>), title: 'clm config' };
}

/** A reference `${…}` may take the place of any value (interpolation.ts). */
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

/** The keys of a mapping, each with description and default outside the alternatives, where editors look for them. */
function withReferencesIn(properties: object): Record<string, unknown> {
  const entries = Object.entries(properties).map(([key, value]) => {
    const { description, default: standard, ...rest } = withReferences(value) as Record<string, unknown>;
    // Editors show the default on completion but not on hover, so it joins the description.
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
