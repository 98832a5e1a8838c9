// The API for people, drawn from its own description.
import { element } from "./widgets.js";

const document_ = await (await fetch("/api/v1/openapi.json")).json();
const base = document_.servers[0].url;
const schemas = document_.components.schemas;
const holder = document.getElementById("operations");
for (const [path, methods] of Object.entries(document_.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const part = element("section", { className: "op" },
      element("h2", {}, element("span", { className: "method" }, method.toUpperCase()), element("code", {}, base + path)),
      element("p", {}, `${operation.summary}.`));
    for (const parameter of operation.parameters ?? []) {
      part.append(element("p", {}, element("code", {}, parameter.name), ` (${parameter.in}) ${parameter.description ?? ""} ${JSON.stringify(parameter.schema)}`));
    }
    const body = operation.requestBody?.content["application/json"].schema;
    if (body) part.append(element("pre", { tabIndex: 0 }, JSON.stringify(body.$ref ? schemas[body.$ref.split("/").pop()] : body, null, 2)));
    const answers = Object.entries(operation.responses).map(([code, answer]) => `${code}: ${answer.description}`);
    part.append(element("p", { className: "quiet" }, answers.join("  ")));
    holder.append(part);
  }
}
