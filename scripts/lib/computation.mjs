/** A script for `node -e` in the folder of a clone: it multiplies two matrices with the clone's TensorFlow. */

/** What it prints in the end. */
export const product = '6 15';

export const computation = `
const { bindingPath } = require('./node_modules/.clm-installation.json');
const tf = require('@tensorflow/tfjs-core');
const { NodeJSKernelBackend } = require('./dist/vendor/tfjs-node.cjs');
const binding = require(bindingPath);
tf.registerBackend('tensorflow', () => new NodeJSKernelBackend(binding, '@tensorflow/tfjs-node-gpu'));
tf.setBackend('tensorflow');
const result = tf.matMul(tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]), tf.ones([3, 1]));
console.log([...result.dataSync()].join(' '));
`;
