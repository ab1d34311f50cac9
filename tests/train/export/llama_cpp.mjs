// What llama.cpp is fed and answers, through node-llama-cpp: JSON on stdin, JSON into the file that is named.
//   {folder, model, conversations: [[{role, content}]], prompts: [text], tokens}
//   -> {template, beginsWithBos, fed: [ids], encoded: [ids], answers: [ids]}
import {readFileSync, writeFileSync} from "node:fs";
import {join} from "node:path";
import {pathToFileURL} from "node:url";

const asked = JSON.parse(readFileSync(0, "utf8"));
const library = join(asked.folder, "node_modules", "node-llama-cpp", "dist", "index.js");
const {getLlama, JinjaTemplateChatWrapper} = await import(pathToFileURL(library).href);
const llama = await getLlama({build: "never", gpu: false, logLevel: "error"});
const model = await llama.loadModel({modelPath: asked.model});
const template = model.fileInfo.metadata.tokenizer.chat_template;

const wrapper = new JinjaTemplateChatWrapper({template, trimLeadingWhitespaceInResponses: false});
const fed = asked.conversations.map((messages) => {
    const chatHistory = messages.map(({role, content}) =>
        role === "assistant" ? {type: "model", response: [content]} : {type: role, text: content});
    chatHistory.push({type: "model", response: []});
    return wrapper.generateContextState({chatHistory}).contextText.tokenize(model.tokenizer);
});

const context = await model.createContext({contextSize: 512});
const encoded = [], answers = [];
for (const prompt of asked.prompts) {
    const ids = model.tokenize(prompt, true);
    const sequence = context.getSequence();
    const answer = [];
    for await (const token of sequence.evaluate(ids, {temperature: 0, yieldEogToken: true})) {
        answer.push(token);
        if (model.isEogToken(token) || answer.length >= asked.tokens) break;
    }
    sequence.dispose();
    encoded.push(ids);
    answers.push(answer);
}
writeFileSync(process.argv[2], JSON.stringify({template, beginsWithBos: model.tokens.shouldPrependBosToken, fed, encoded, answers}));
process.exit(0);
