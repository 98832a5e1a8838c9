// The token comes behind the # of the address, which no server and no log ever sees.
const said = document.getElementById("said");
const field = document.getElementById("token");

async function pair(token) {
  said.textContent = "…";
  const answer = await fetch("/api/v1/pair", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token }) });
  if (answer.ok) { location.replace("/"); return; }
  said.textContent = (await answer.json()).detail;
}

document.getElementById("form").addEventListener("submit", (event) => { event.preventDefault(); pair(field.value.trim()); });
const token = location.hash.slice(1);
history.replaceState(null, "", "/pair");
if (token) pair(token);
