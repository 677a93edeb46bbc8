/** Section `samples`: completions written on the way. */
import { z } from 'zod';
import { count, interval } from './numbers.ts';

export const samples = z
  .strictObject({
    everySteps: interval.default(500).describe('Steps between samples; null = never.'),
    prompt: z.string().default('\n').describe('Text the samples continue.'),
    maxTokens: count.default(120).describe('Tokens of a sample.'),
    temperature: z.number().min(0).default(0.8).describe('Divides the logits before drawing; 0 = the likeliest token.'),
    topK: count.nullable().default(null).describe('Draw from the k likeliest tokens only; null = from all.'),
  })
  .prefault({})
  .describe('Completions written on the way.');
