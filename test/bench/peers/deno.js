// The hello guest on deno: node-free, one process. Arguments: port.
import { answer, createGlue } from './glue.js';

const folder = new URL('.', import.meta.url);
const module = new WebAssembly.Module(await Deno.readFile(new URL('guest.wasm', folder)));
const pages = JSON.parse(await Deno.readTextFile(new URL('pages.json', folder)));
const handle = createGlue(module, pages);

Deno.serve({ port: Number(Deno.args[0]), hostname: '127.0.0.1' }, (request) => answer(handle, request));
