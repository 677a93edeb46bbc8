/** Finds the safetensors files of a Hugging Face folder, as transformers does, and says what it passed over. */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readBounded } from '../storage/boundedFile.ts';
import { wrongInput } from '../errors.ts';

export interface WeightFiles {
  files: string[];
  warnings: string[];
}

const wholeName = 'model.safetensors';
const indexName = `${wholeName}.index.json`;
const shardName = /^model-(\d{5})-of-(\d{5})\.safetensors$/;

/**
 * model.safetensors; without it the files that model.safetensors.index.json names; without an index every shard.
 *
 * @throws wrongInput naming a file that is missing, or what the folder has instead
 */
export function findWeightFiles(directory: string): WeightFiles {
  const whole = join(directory, wholeName);
  const hasIndex = existsSync(join(directory, indexName));
  if (existsSync(whole)) {
    const warnings = hasIndex ? [`${indexName} is not read, because there is ${wholeName}`] : [];
    return { files: [whole], warnings };
  }
  if (hasIndex) return { files: indexedFiles(directory), warnings: [] };
  const shards = completeShards(directory);
  if (shards.length === 0)
    throw wrongInput(`${directory} has neither ${wholeName} nor ${indexName}${instead(directory)}`);
  const what = shards.length === 1 ? shards[0]! : `${shards.length} shards`;
  return {
    files: shards.map((name) => join(directory, name)),
    warnings: [`there is no ${indexName}: read ${what}, whose names say that nothing is missing`],
  };
}

function indexedFiles(directory: string): string[] {
  const index = join(directory, indexName);
  const text = readBounded(index).toString('utf8');
  let map: unknown;
  try {
    map = (JSON.parse(text) as { weight_map?: unknown } | null)?.weight_map;
  } catch (cause) {
    throw wrongInput(`${index} is not JSON. Download it again.`, { cause });
  }
  const names = typeof map === 'object' && map !== null ? [...new Set(Object.values(map))] : [];
  if (names.length === 0) throw wrongInput(`${index} has no weight_map. Download it again.`);
  return names.map((name) => {
    // Never read files outside of the folder: the index comes from somebody else.
    if (typeof name !== 'string' || basename(name) !== name)
      throw wrongInput(`${index} names ${JSON.stringify(name)}, which is not a file of its folder`);
    const file = join(directory, name);
    if (existsSync(file)) return file;
    const others = shardsOf(directory).filter((shard) => !names.includes(shard));
    const wayOn = others.length > 0 ? `; the folder has ${others[0]} instead. If the index is old, delete it.` : '';
    throw wrongInput(`${file} is missing, but ${basename(index)} names it${wayOn}`);
  });
}

const shardsOf = (directory: string): string[] =>
  readdirSync(directory)
    .filter((name) => shardName.test(name))
    .sort();

/** @throws wrongInput naming the first shard that is missing, or shards of two saves */
function completeShards(directory: string): string[] {
  const shards = shardsOf(directory);
  const totals = new Set(shards.map((name) => shardName.exec(name)![2]!));
  if (totals.size > 1) {
    throw wrongInput(
      `${directory} has no ${indexName}, and shards of ${totals.size} saves: ${shards[0]} and ${shards.at(-1)}. ` +
        'Remove those that do not belong to the model.',
    );
  }
  for (const total of totals) {
    for (let number = 1; number <= Number(total); number++) {
      const name = `model-${String(number).padStart(5, '0')}-of-${total}.safetensors`;
      if (!shards.includes(name)) throw wrongInput(`${join(directory, name)} is missing, and there is no ${indexName}`);
    }
  }
  return shards;
}

/** What a folder without weights that clm reads has instead, as the end of a message. */
function instead(directory: string): string {
  const names = readdirSync(directory);
  const safetensors = names.filter((name) => name.endsWith('.safetensors'));
  if (safetensors.some((name) => name.startsWith('adapter_model')))
    return `, but the adapter ${safetensors[0]}; with its adapter_config.json it is imported by --base`;
  if (safetensors.length === 1) return `, but ${safetensors[0]}; if that is the whole model, rename it to ${wholeName}`;
  if (safetensors.length > 1) return `, but ${safetensors.join(', ')}; name the whole model ${wholeName}`;
  const other = names.find((name) => /\.(bin|pt|pth|gguf|h5|msgpack|onnx)(\.index\.json)?$/.test(name));
  if (other?.endsWith('.gguf')) return `, but ${other}; to import that, name the file itself`;
  const found = other === undefined ? '' : `, but ${other}`;
  return (
    `${found}; other formats (pytorch_model.bin) are not supported. transformers writes safetensors: ` +
    'AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)'
  );
}
