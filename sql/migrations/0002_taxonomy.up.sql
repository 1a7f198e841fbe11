-- The taxonomy that prompts draw on. Add a language, a form or a tone by adding rows in a later migration.

INSERT INTO language (code, name) VALUES ('en', 'English');
INSERT INTO language (code, name) VALUES ('ko', 'Korean');

INSERT INTO task (code, name) VALUES ('correct', 'Correct the text');
INSERT INTO task (code, name) VALUES ('explain', 'Explain each change');

INSERT INTO form (code, form_form) VALUES
    ('message', 'a short message to somebody the writer knows, one or two sentences, no greeting needed'),
    ('email', 'one or two sentences out of an email to a colleague, customer or office'),
    ('essay', 'a sentence or two out of an essay that argues a point'),
    ('review', 'a sentence or two out of a review of a product, place, film or book'),
    ('report', 'a sentence or two out of a report on work done, results or an incident'),
    ('dialogue', 'one turn of a spoken conversation, written down'),
    ('diary', 'a sentence or two out of a private diary'),
    ('social post', 'a short post for friends or followers'),
    ('cover letter', 'a sentence or two out of a letter that applies for a job'),
    ('meeting notes', 'one point out of the notes of a meeting');

INSERT INTO tone (code, name) VALUES
    ('friendly', 'warm and relaxed'),
    ('polite', 'courteous, asks rather than tells'),
    ('neutral', 'plain and matter-of-fact'),
    ('formal', 'official, complete sentences, no contractions'),
    ('annoyed', 'impatient or displeased, but not insulting'),
    ('enthusiastic', 'excited, full of praise'),
    ('apologetic', 'sorry, takes the blame'),
    ('worried', 'anxious, asks for reassurance');

INSERT INTO mapping_emotion_form_tone (emotion, form, tone, wording) VALUES
    ('joy', 'message', 'enthusiastic', 'shares good news at once and cannot wait for the answer'),
    ('joy', 'email', 'friendly', 'thanks the reader warmly and says what went well'),
    ('joy', 'essay', 'neutral', 'argues calmly for something the writer likes'),
    ('joy', 'review', 'enthusiastic', 'praises one detail after another and recommends it'),
    ('joy', 'report', 'neutral', 'states a success in figures, without exclamation marks'),
    ('joy', 'dialogue', 'friendly', 'laughs, agrees and makes plans'),
    ('joy', 'diary', 'enthusiastic', 'relives the best moment of the day'),
    ('joy', 'social post', 'enthusiastic', 'shows off a small triumph and invites comments'),
    ('joy', 'cover letter', 'polite', 'looks forward to the work without flattering'),
    ('joy', 'meeting notes', 'neutral', 'notes what was finished and who is thanked'),
    ('gratitude', 'message', 'friendly', 'says thanks for one concrete thing'),
    ('gratitude', 'email', 'polite', 'thanks for help received and offers something in return'),
    ('gratitude', 'review', 'friendly', 'names the member of staff who helped'),
    ('gratitude', 'dialogue', 'polite', 'thanks and declines a further favour'),
    ('gratitude', 'cover letter', 'formal', 'thanks for the time taken to read the application'),
    ('anger', 'message', 'annoyed', 'complains about being kept waiting and wants an answer'),
    ('anger', 'email', 'annoyed', 'names what went wrong and asks for it to be put right'),
    ('anger', 'essay', 'formal', 'criticises a rule and says whom it harms'),
    ('anger', 'review', 'annoyed', 'lists what did not work and warns others'),
    ('anger', 'report', 'formal', 'states a failure, its cause and who must act'),
    ('anger', 'dialogue', 'annoyed', 'interrupts and insists on the point'),
    ('anger', 'diary', 'annoyed', 'lets off steam about somebody'),
    ('anger', 'social post', 'annoyed', 'complains to everybody about a service'),
    ('worry', 'message', 'worried', 'asks whether everything is all right'),
    ('worry', 'email', 'polite', 'asks about a delay without blaming'),
    ('worry', 'essay', 'neutral', 'describes a risk and what follows from it'),
    ('worry', 'report', 'neutral', 'names a risk, how likely it is and a remedy'),
    ('worry', 'dialogue', 'worried', 'asks for advice before a decision'),
    ('worry', 'diary', 'worried', 'turns over what might go wrong tomorrow'),
    ('worry', 'meeting notes', 'neutral', 'notes an open question and its deadline'),
    ('regret', 'message', 'apologetic', 'says sorry for being late or for forgetting'),
    ('regret', 'email', 'apologetic', 'admits a mistake and says how it will be mended'),
    ('regret', 'dialogue', 'apologetic', 'apologises face to face and explains'),
    ('regret', 'diary', 'apologetic', 'wishes something had been done differently'),
    ('regret', 'review', 'neutral', 'would have liked to like it, and says what is missing'),
    ('calm', 'message', 'neutral', 'settles a time, a place or a small errand'),
    ('calm', 'email', 'formal', 'passes on information and names the next step'),
    ('calm', 'essay', 'formal', 'weighs two sides and comes to a view'),
    ('calm', 'review', 'neutral', 'weighs good and bad points fairly'),
    ('calm', 'report', 'formal', 'describes method and result'),
    ('calm', 'social post', 'friendly', 'shares an everyday observation'),
    ('calm', 'cover letter', 'formal', 'states experience and what it is good for'),
    ('calm', 'meeting notes', 'neutral', 'records a decision and who does what');
