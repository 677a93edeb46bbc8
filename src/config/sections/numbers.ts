/** Kinds of numbers that several sections use. */
import { z } from 'zod';

/** A whole number of at least 1. */
export const count = z.int().min(1);

/** Steps between two of something; null = never. */
export const interval = count.nullable();
