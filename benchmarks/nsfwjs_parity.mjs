// The reference of `benchmarks.nsfwjs_parity`: nsfwjs itself, on TensorFlow.js' plain JavaScript backend.
//
// Run in a folder where both are installed. Reads pictures.json (a list of {file, height, width}; each file
// holds raw RGB bytes) and writes probabilities.json: five numbers a picture, in nsfwjs' order of classes.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const folder = process.argv[2];
const require = createRequire(join(folder, "here.js"));
const tf = require("@tensorflow/tfjs");
const { load } = require("nsfwjs/core");
const { MobileNetV2Model } = require("nsfwjs/models/mobilenet_v2");

await tf.setBackend("cpu");
const model = await load("MobileNetV2", { modelDefinitions: [MobileNetV2Model] });
const pictures = JSON.parse(readFileSync(join(folder, "pictures.json"), "utf8"));
const found = [];
for (const { file, height, width } of pictures) {
  const bytes = readFileSync(join(folder, file));
  const picture = tf.tensor3d(new Int32Array(bytes), [height, width, 3], "int32");
  const probabilities = model.infer(picture);
  found.push(Array.from(await probabilities.data()));
  picture.dispose();
  probabilities.dispose();
  console.log(`done ${found.length}`);
}
writeFileSync(join(folder, "probabilities.json"), JSON.stringify(found));
