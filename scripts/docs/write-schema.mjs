/** Writes schema/config.schema.json, by which editors check configs, from the built config schema. */
import { writeFileSync } from 'node:fs';

const { renderConfigJsonSchema } = await import('#clm/config/jsonSchema.js').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  console.error('Build first: npm run build');
  process.exit(2);
});
writeFileSync(new URL('../../schema/config.schema.json', import.meta.url), renderConfigJsonSchema());
