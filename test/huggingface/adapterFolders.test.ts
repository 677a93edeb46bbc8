import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/checkpoint.ts';
import { verifyCheckpoints } from '../../src/checkpoint/verify.ts';
import { parseResolvedConfig } from '../../src/config/load.ts';
import { readAdapterConfig } from '../../src/huggingface/adapters/adapterConfig.ts';
import { adapterFiles } from '../../src/huggingface/adapters/adapterFiles.ts';
import { adapterModules } from '../../src/huggingface/adapters/adapterModules.ts';
import { convertedAdapter, readLowRanks } from '../../src/huggingface/adapters/adapterTensors.ts';
import { importAdapter } from '../../src/huggingface/adapters/importAdapter.ts';
import { readConfigJson } from '../../src/huggingface/configJson.ts';
import { exportModel } from '../../src/huggingface/exportModel.ts';
import type { AdapterExport } from '../../src/huggingface/exportSource.ts';
import { importModel } from '../../src/huggingface/importModel.ts';
import { adapterTable, type Adapter } from '../../src/model/adapter.ts';
import { adapterMerge } from '../../src/model/mergedWeights.ts';
import { initialParameters, parameterTable } from '../../src/model/parameters.ts';
import { randomStream } from '../../src/random.ts';
import { loadModel } from '../../src/sampling/loadModel.ts';
import { readSafetensors, writeSafetensors } from '../../src/tensors/safetensors.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';
import { adapterFixture, adapterReference, answers, fixture, relativeDifference, vocabularySize } from './fixtures.ts';

const folder = useTemporaryFolder();
const at = (...names: string[]) => join(folder(), ...names);

/** The base of a fixture and its adapter, both imported. */
async function imported(name: string, adapterFolder = adapterFixture(name)) {
  await importModel(fixture(name), at('base'), { contextLength: null });
  return importAdapter(adapterFolder, at('tuned'), { base: at('base') });
}

/** The parameters of a run as `clm sample` has them. */
async function weightsOf(run: string) {
  const { config, table, session, close } = await loadModel(run, { checkpoint: 'last', device: 'cpu' });
  const values = await session.readVariables(table.map(({ name }) => name));
  close();
  return { model: config.model, parameters: values };
}

const exported = (run: string, name: string, as: AdapterExport) =>
  exportModel(run, at(name), { checkpoint: 'last', dtype: 'float32', as });

describe('an adapter that was imported', () => {
  it.each(['gpt2', 'smollm', 'mistral'])('is part of the weights of %s wherever the run is used', async (name) => {
    await imported(name);
    const { model, parameters } = await weightsOf(at('tuned'));
    const expected = adapterReference(name);
    expect(
      relativeDifference((await answers(model, parameters, expected, 'eager')).logits, expected.logits),
    ).toBeLessThan(1e-5);

    const { kind } = await exported(at('tuned'), 'merged', 'merge');
    expect(kind).toBe(name === 'gpt2' ? 'gpt2' : 'llama');
    await importModel(at('merged'), at('again'), { contextLength: null });
    expect((await weightsOf(at('again'))).parameters).toEqual(parameters);
  });

  it('is exported to the same two files, to the bit', async () => {
    await imported('llama');
    const { kind, baseName } = await exported(at('tuned'), 'adapter', 'adapter');
    expect([kind, baseName]).toEqual(['lora', 'someone/llama']);
    const tensors = (directory: string) => readSafetensors(join(directory, 'adapter_model.safetensors'));
    const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
    expect((await tensors(at('adapter'))).toSorted(byName)).toEqual(
      (await tensors(adapterFixture('llama'))).toSorted(byName),
    );
    const settings = (directory: string) =>
      JSON.parse(readFileSync(join(directory, 'adapter_config.json'), 'utf8')) as Record<string, unknown>;
    expect(settings(adapterFixture('llama'))).toMatchObject({ ...settings(at('adapter')), fan_in_fan_out: false });
  });
});

describe('maps that PEFT has as other modules', () => {
  /** Base, table and an adapter with random values. */
  async function random(name: string, targets: Adapter['targets']) {
    const { checkpoint } = await importModel(fixture(name), at('base'), { contextLength: null });
    const { configText } = await openCheckpoint(checkpoint, { optimizer: false });
    const { model } = parseResolvedConfig(configText, 'config.yaml');
    const table = parameterTable(model, vocabularySize);
    const adapter = { rank: 2, alpha: 3, dropout: 0, targets };
    const stream = randomStream(7, 'adapter');
    const tensors = initialParameters(adapterTable(table, adapter, model), 7);
    for (const { values } of tensors) values.forEach((_, i) => (values[i] = stream.normal()));
    return { model, table, adapter, tensors, base: await readSafetensors(join(checkpoint, 'model.safetensors')) };
  }

  it.each([
    ['gpt2', ['query', 'value', 'up'], { rank_pattern: { c_attn: 4 }, alpha_pattern: { c_attn: 6 } }],
    ['gpt2', ['key', 'output'], { target_modules: ['c_attn', 'attn.c_proj'], rank_pattern: {} }],
    ['qwen2', ['queryKeyValue', 'gate'], { target_modules: ['q_proj', 'k_proj', 'v_proj', 'gate_proj'], r: 2 }],
  ] as const)('%s, %j', async (name, targets, settings) => {
    const { model, table, adapter, tensors, base } = await random(name, targets);
    const { config, weights } = adapterFiles(tensors, adapter, { table, model, baseName: null });
    expect(config).toMatchObject(settings);
    await writeSafetensors(at('adapter_model.safetensors'), weights);
    const read = readAdapterConfig(JSON.stringify(config), 'adapter_config.json');
    const modules = adapterModules(table, model);
    const lowRanks = await readLowRanks(at('adapter_model.safetensors'), read, modules);
    const again = convertedAdapter(lowRanks, modules, read);
    expect(again.adapter.targets).not.toEqual(targets);
    const [before, after] = [adapterMerge(tensors, adapter, model), adapterMerge(again.tensors, again.adapter, model)];
    for (const parameter of base) {
      const expected = before(parameter, parameter.values.slice());
      expect(relativeDifference(after(parameter, parameter.values.slice()), expected)).toBeLessThan(1e-6);
    }
  });
});

describe('a folder of PEFT', () => {
  const copied = (name = 'llama'): string => {
    cpSync(adapterFixture(name), at('peft'), { recursive: true });
    return at('peft');
  };
  const text = readFileSync(join(adapterFixture('llama'), 'adapter_config.json'), 'utf8');
  const withKeys = (changes: Record<string, unknown>): string =>
    JSON.stringify({ ...(JSON.parse(text) as object), ...changes });
  const refused = async (directory: string, name = 'llama'): Promise<string> => {
    const failure = await failureOf(imported(name, directory));
    expect(failure.kind).toBe('wrongInput');
    expect(existsSync(at('tuned'))).toBe(false);
    return failure.message;
  };
  const { model } = readConfigJson(readFileSync(join(fixture('llama'), 'config.json'), 'utf8'), 'config.json', null);
  const modules = adapterModules(parameterTable(model, vocabularySize), model);
  const read = async (changes: Record<string, unknown>) => {
    const config = readAdapterConfig(withKeys(changes), 'adapter_config.json');
    return readLowRanks(join(adapterFixture('llama'), 'adapter_model.safetensors'), config, modules);
  };

  it.each([
    [{ peft_type: 'IA3' }, 'peft_type is "IA3"; clm supports "LORA"'],
    [{ task_type: 'SEQ_CLS' }, 'task_type is "SEQ_CLS"'],
    [{ use_dora: true }, 'use_dora (true) is not supported'],
    [{ bias: 'lora_only' }, 'bias is "lora_only"; clm supports "none"'],
    [{ modules_to_save: ['lm_head'] }, 'modules_to_save (["lm_head"]) is not supported'],
    [{ trainable_token_indices: [3] }, 'trainable_token_indices ([3]) is not supported'],
    [{ layer_replication: [[0, 1]] }, 'layer_replication'],
    [{ init_lora_weights: 'pissa_niter_4' }, 'init_lora_weights is "pissa_niter_4"'],
    [{ a_new_variant: { x: 1 } }, 'import without them: --ignore-key a_new_variant'],
    [{ r: 0 }, 'r: must be at least 1'],
    [{ lora_alpha: 'much' }, 'lora_alpha: must be a number'],
    [{ lora_alpha: 0 }, 'lora_alpha: must be above 0'],
    [{ r: 1e9 }, 'has shape (5, 30), base and adapter_config.json require (1000000000, 30)'],
    [{ target_modules: null }, 'lora_A.weight is of a module that adapter_config.json leaves out'],
    [{ target_modules: ['q_proj', 'v_proj'] }, 'and 12 more'],
    [{ layers_to_transform: 1 }, 'model.layers.0.mlp.up_proj.lora_A.weight is of a module that adapter_config'],
    [{ exclude_modules: ['k_proj'] }, 'model.layers.0.self_attn.k_proj.lora_A.weight is of a module'],
    [{ target_modules: '(((a|[a-z._0-9])+)+)+Q' }, 'which takes too long'],
    [{ alpha_pattern: { '(?i)Q_PROJ': 3 } }, 'alpha_pattern has the regular expression "(?i)Q_PROJ", with syntax that'],
    [{ rank_pattern: { '(q_proj': 3 } }, 'which is not valid'],
  ])('with %j is refused by name', async (changes, message) => {
    const failure = await failureOf(read(changes));
    expect(failure.kind).toBe('wrongInput');
    expect(failure.message).toContain(message);
    expect(failure.message.includes('--ignore-key')).toBe('a_new_variant' in changes);
  });

  it('is read by the rules of PEFT for lists, layers and expressions', async () => {
    expect(await read({ target_modules: String.raw`model\.layers\.\d+\.(self_attn|mlp)\..*` })).toHaveLength(14);
    expect(await read({ target_modules: 'ALL-linear', exclude_modules: ['no_such'] })).toHaveLength(14);
    expect(await read({ layers_to_transform: [0, 1], layers_pattern: 'layers' })).toHaveLength(14);
    const scaled = await read({ alpha_pattern: { 'mlp.up_proj': 3, '.*up_proj|down_proj': 10 } });
    expect(Object.fromEntries(scaled.map(({ module, scale }) => [module.name, scale]))).toMatchObject({
      'model.layers.1.mlp.up_proj': 3 / 5,
      'model.layers.1.mlp.down_proj': 2,
      'model.layers.1.mlp.gate_proj': 7 / 5,
    });
  });

  it('without a file, or with the weights in the older format, is refused', async () => {
    const directory = copied();
    renameSync(join(directory, 'adapter_model.safetensors'), join(directory, 'adapter_model.bin'));
    expect(await refused(directory)).toContain('adapter_model.bin is not supported: load the adapter with PEFT');
    rmSync(join(directory, 'adapter_config.json'));
    rmSync(at('base'), { recursive: true });
    expect(await refused(directory)).toContain('has no adapter_config.json: it is not an adapter that PEFT saved');
  });

  it('for another model is refused with the shapes, also by the name of its modules', async () => {
    expect(await refused(copied('qwen2'))).toMatch(/q_proj\.lora_A\.weight has shape \(5, 24\).*require \(5, 30\)/);
    rmSync(at('base'), { recursive: true });
    expect(await refused(adapterFixture('gpt2'))).toContain('Is --base the model that the adapter was made for?');
  });

  it('with tensors of other kinds is refused by their names', async () => {
    const directory = copied();
    const file = join(directory, 'adapter_model.safetensors');
    const tensors = await readSafetensors(file);
    const added = ['model.embed_tokens.weight', 'model.layers.0.mlp.up_proj.lora_magnitude_vector'];
    const values = new Float32Array(1);
    await writeSafetensors(file, [
      ...tensors.slice(1),
      ...added.map((name) => ({ name: `base_model.model.${name}`, shape: [1], values })),
    ]);
    const message = await refused(directory);
    expect(message).toContain(`${tensors[0]!.name} (5, 29) is missing`);
    expect(message).toContain('embed_tokens.weight is of an embedding or an output head');
    expect(message).toContain('lora_magnitude_vector belongs to DoRA');
  });

  it('as a base, and a base that is an adapter, are refused', async () => {
    await imported('llama');
    const nested = importAdapter(adapterFixture('llama'), at('nested'), { base: at('tuned') });
    expect((await failureOf(nested)).message).toContain('is a run with an adapter');
    const whole = importModel(adapterFixture('llama'), at('nested'), { contextLength: null });
    expect((await failureOf(whole)).message).toContain('it is an adapter. Import the model that it was made for');
  });

  it('is read with the settings that concern only how it was made, and with keys that are to be ignored', async () => {
    const directory = copied();
    const keys = { init_lora_weights: 'gaussian', lora_dropout: 0.25, fan_in_fan_out: true, odd: 1 };
    writeFileSync(join(directory, 'adapter_config.json'), withKeys(keys));
    expect(await refused(directory)).toContain('odd (1) is not supported');
    rmSync(at('base'), { recursive: true });
    await importModel(fixture('llama'), at('base'), { contextLength: null });
    const { adapter } = await importAdapter(directory, at('tuned'), { base: at('base'), ignoredKeys: ['odd'] });
    expect(adapter).toMatchObject({ rank: 5, alpha: 7, dropout: 0.25 });
  });

  it('says what had to be stored in another way', async () => {
    const { adapter, warnings } = await imported('smollm');
    expect(adapter).toMatchObject({ rank: 5, alpha: 7.5 });
    expect(warnings).toEqual([
      '13 of its modules have a rank below 5: filled up with zeros',
      '3 of its modules have another scaling: multiplied into lora_B',
    ]);
  });
});

describe('an export', () => {
  it('of an adapter must say in which form, and of another run must not', async () => {
    await imported('qwen3');
    const message = async (run: string, as: AdapterExport) => (await failureOf(exported(at(run), 'out', as))).message;
    expect(await message('tuned', null)).toMatch(/Add --merge to .*, or --adapter to /);
    expect(await message('base', 'merge')).toContain('has no adapter; export it without --merge');
    expect(await message('base', 'adapter')).toContain('has no adapter; export it without --adapter');
    expect(existsSync(at('out'))).toBe(false);
  });

  it('names the folder that the base was imported from, if it exists', async () => {
    cpSync(adapterFixture('llama'), at('peft'), { recursive: true });
    const file = at('peft', 'adapter_config.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace('"someone/llama"', 'null'));
    await imported('llama', at('peft'));
    expect((await exported(at('tuned'), 'out', 'adapter')).baseName).toBe(fixture('llama'));
    const environment = at('base', 'environment.json');
    const importedFrom = (folder: string) =>
      writeFileSync(environment, readFileSync(environment, 'utf8').replace(/("importedFrom": ).*"/, `$1"${folder}"`));
    const snapshot = at('models--someone--llama', 'snapshots', 'f00d');
    importedFrom(snapshot);
    expect((await exported(at('tuned'), 'gone', 'adapter')).baseName).toBe(null);
    mkdirSync(snapshot, { recursive: true });
    expect((await exported(at('tuned'), 'hub', 'adapter')).baseName).toBe('someone/llama');
  });
});

describe('the base of an adapter', () => {
  const verdict = async (): Promise<string> => {
    const verdicts = [];
    for await (const each of verifyCheckpoints(at('tuned'))) verdicts.push(each);
    expect(verdicts).toHaveLength(1);
    return verdicts[0]!.reason ?? 'intact';
  };
  const failure = async (): Promise<string> => {
    const loaded = loadModel(at('tuned'), { checkpoint: 'last', device: 'cpu' });
    const { message } = await failureOf(loaded.then((model) => model.verified.finally(() => model.close())));
    expect(await verdict()).toBe(message);
    return message;
  };

  it('is found by its relative path when both were moved, and is missed by name when it alone was', async () => {
    await imported('qwen3');
    expect(await verdict()).toBe('intact');
    const { parameters } = await weightsOf(at('tuned'));
    renameSync(at('base'), at('elsewhere'));
    expect(await failure()).toContain(`step 0 of its base, ${at('base')}, which does not exist`);
    renameSync(at('elsewhere'), at('base'));
    mkdirSync(at('moved'));
    for (const name of ['base', 'tuned']) renameSync(at(name), at('moved', name));
    expect((await weightsOf(at('moved', 'tuned'))).parameters).toEqual(parameters);
  });

  it('must have the weights that the adapter was made for, undamaged', async () => {
    await imported('qwen3');
    const weights = at('base', 'checkpoints', 'step-00000000', 'model.safetensors');
    const bytes = readFileSync(weights);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(weights, bytes);
    expect(await failure()).toContain(`${weights} is damaged`);
    rmSync(at('base'), { recursive: true });
    await importModel(fixture('llama'), at('base'), { contextLength: null });
    expect(await failure()).toContain('are others: it was trained or imported again');
  });
});
