export { InputError } from "../../kernels/gpu/errors.ts";
