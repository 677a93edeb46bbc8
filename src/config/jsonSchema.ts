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
  return { ...schema, title: 'clm config' };
}

/** The text of schema/config.schema.json. */
export function renderConfigJsonSchema(): string {
  return `${JSON.stringify(configJsonSchema(), null, 2)}\n`;
}
