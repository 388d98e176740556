export { InputError } from "../kernels/errors.ts";
