/**
 * Asks llama.cpp, as node-llama-cpp's prebuilt library, about GGUF files. Run by ../gguf.mjs:
 *
 *   node llamaCpp.mjs FOLDER QUESTIONS
 *
 * FOLDER has node_modules with node-llama-cpp. A line of the file QUESTIONS: {"file", "texts": [{"text",
 * "specialTokens"}], "promptIds", "maxTokens"}. The answers, a line each: {"tokenIds" of each text, "greedy": ids,
 * "probabilities": of them} or {"problem"}.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, questions] = process.argv.slice(2);
const entry = path.resolve(folder, 'node_modules/node-llama-cpp/dist/index.js');
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry).href);
const llama = await getLlama({ build: 'never', gpu: false, logLevel: LlamaLogLevel.error, progressLogs: false });

for (const line of readFileSync(questions, 'utf8').split('\n')) {
  if (line !== '')
    console.log(JSON.stringify(await answer(JSON.parse(line)).catch((problem) => ({ problem: String(problem) }))));
}
await llama.dispose();

/** @typedef {{ text: string, specialTokens?: boolean }} Text */
/** @param {{ file: string, texts: Text[], promptIds: number[], maxTokens: number }} question */
async function answer({ file, texts, promptIds, maxTokens }) {
  const model = await llama.loadModel({ modelPath: path.resolve(file), useMmap: false });
  try {
    const tokenIds = texts.map(({ text, specialTokens = false }) => model.tokenize(text, specialTokens));
    const float32 = { experimentalKvCacheKeyType: 'F32', experimentalKvCacheValueType: 'F32', flashAttention: false };
    const context = await model.createContext({
      contextSize: promptIds.length + maxTokens,
      sequences: 1,
      threads: 1,
      ...float32,
    });
    const greedy = [];
    const probabilities = [];
    const steps = context
      .getSequence()
      .evaluateWithMetadata(promptIds, { confidence: true }, { temperature: 0, yieldEogToken: true });
    for await (const { token, confidence } of steps) {
      greedy.push(token);
      probabilities.push(confidence);
      if (greedy.length === maxTokens) break;
    }
    return { tokenIds, greedy, probabilities, end: model.tokens.eos, start: model.tokens.bos };
  } finally {
    await model.dispose();
  }
}
