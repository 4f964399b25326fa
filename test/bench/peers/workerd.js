// The hello guest on workerd.
import { answer, createGlue } from './glue.js';
import module from './guest.wasm';
import pages from './pages.json';

const handle = createGlue(module, JSON.parse(pages));

export default { fetch: (request) => answer(handle, request) };
