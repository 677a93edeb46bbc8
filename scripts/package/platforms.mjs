// The platforms that clm has npm packages for, and how large the packages may be.

/**
 * @typedef {object} Platform
 * @property {string} platform Node's name of the system
 * @property {string} arch Node's name of the processor
 * @property {string} tools what the names of compiler, strip and objdump begin with
 * @property {Record<string, string>} newest versions of system libraries' symbols that the files may ask for: those of
 *   libtensorflow itself, which are in glibc 2.27 and GCC 7's libstdc++
 */

const newest = { GLIBC: '2.27', GLIBCXX: '3.4.22', CXXABI: '1.3.11', GCC: '4.8.0' };

/** @type {Record<string, Platform>} */
export const platforms = {
  'linux-x64': { ...{ platform: 'linux', arch: 'x64', tools: '' }, newest },
  // Made on x86-64: apt install g++-aarch64-linux-gnu. "npm run check -- arm64" tries it.
  'linux-arm64': { ...{ platform: 'linux', arch: 'arm64', tools: 'aarch64-linux-gnu-' }, newest },
};

/** In a scope, so that nobody else can publish a package that looks like one of clm's. */
export const packageName = (/** @type {string} */ platform) => `@clm/${platform}`;

/** Bytes of the tarballs at most. @type {Record<string, number>} */
export const sizeLimits = { clm: 1.6e6, '@clm/linux-x64': 130e6, '@clm/linux-arm64': 130e6 };
