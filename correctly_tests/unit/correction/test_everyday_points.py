"""Everyday edits: the point that a teacher would name, and sentences that do not say what the edit does not show."""

from __future__ import annotations

from functools import cache

import pytest

from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.points.choose_point import explain
from correctly_assets.language.points import load_points


@cache
def annotator() -> ErrantAnnotator:
    return ErrantAnnotator(cache_size=256)


EVERYDAY = [
    ("It is getting more colder.", "It is getting colder.", "double_comparative"),
    ("This coat is more cheap.", "This coat is cheaper.", "comparative_er"),
    ("Despite of the rain, we went out.", "Despite the rain, we went out.", "despite_of"),
    ("I don't understand how does this work.", "I don't understand how this works.", "embedded_question_do"),
    ("I am agree with you.", "I agree with you.", "am_agree"),
    ("I have been to Paris last year.", "I went to Paris last year.", "perfect_finished"),
    ("We discussed about the problem.", "We discussed the problem.", "preposition_extra"),
    ("I like very much this song.", "I like this song very much.", "adverb_after_object"),
    ("If I will see him, I will tell him.", "If I see him, I will tell him.", "if_will"),
    ("I did a mistake.", "I made a mistake.", "make_do"),
    ("I want that you come.", "I want you to come.", "want_that"),
    ("She suggested me to go.", "She suggested that I go.", "suggest_object"),
    ("How do you think about it?", "What do you think about it?", "how_think"),
    ("How do you call this?", "What do you call this?", "how_call"),
    ("I know to swim.", "I know how to swim.", "know_how"),
    ("I know swim.", "I know how to swim.", "know_how"),
    ("We want to go to abroad.", "We want to go abroad.", "go_abroad"),
    ("I had no choice than to leave.", "I had no choice but to leave.", "no_choice_but"),
    ("I had no choice but leaving.", "I had no choice but to leave.", "no_choice_but"),
    ("Almost of the students passed.", "Almost all of the students passed.", "almost_all"),
    ("Almost people like him.", "Almost all people like him.", "almost_all"),
    ("He not only sings, also dances.", "He not only sings but also dances.", "not_only_but_also"),
    ("The reason is because I was ill.", "The reason is that I was ill.", "reason_is_that"),
    ("Every of the rooms is big.", "Each of the rooms is big.", "every_of"),
    ("I went to the the shop.", "I went to the shop.", "doubled_word"),
    ("We ate apples, pears and etc.", "We ate apples, pears, etc.", "and_etc"),
    ("I don't have no money.", "I don't have any money.", "double_negative"),
    ("I have any time today.", "I have no time today.", "any_no"),
    ("We met at five oclock.", "We met at five o'clock.", "o_clock"),
    ("We met at 5:30 o'clock.", "We met at 5:30.", "o_clock_full_hours"),
    ("The number of tourists have doubled.", "The number of tourists has doubled.", "agreement_the_number"),
    ("A number of people has called.", "A number of people have called.", "agreement_the_number"),
    ("I have a strong headache today.", "I have a bad headache today.", "bad_headache"),
    ("We arrived in time, at eight sharp.", "We arrived on time, at eight sharp.", "on_time"),
    ("He is a manager in Samsung.", "He is a manager at Samsung.", "preposition_company"),
    ("The shop is opposite of the bank.", "The shop is opposite the bank.", "despite_of"),
    ("I am waiting in front the station.", "I am waiting in front of the station.", "phrase"),
    ("We meet in May 5.", "We meet on May 5.", "preposition_day"),
    ("This is the town where I visited.", "This is the town that I visited.", "where_not"),
    ("I bought a bag that it is made of paper.", "I bought a bag that is made of paper.", "resumptive"),
    ("That what you said is true.", "What you said is true.", "what_that"),
    ("The man which I met is a lawyer.", "The man whom I met is a lawyer.", "who_people"),
    ("Me and my wife we like cake.", "My wife and I like cake.", "order_of_persons"),
    ("It was an honor to meet you.", "It was an honour to meet you.", "spelling_variety"),
    ("I am good at math.", "I am good at maths.", "spelling_variety"),
    ("She gave me advice about my carrier.", "She gave me advice about my career.", "confused_word"),
    ("I don't no him.", "I don't know him.", "know_now"),
    ("Our team is lack of time.", "Our team is short of time.", "lack_of"),
    ("I met yesterday my cousin.", "I met my cousin yesterday.", "time_place"),
    ("I bought last week a coat.", "Last week I bought a coat.", "time_place"),
    ("She wore a red beautiful dress.", "She wore a beautiful red dress.", "adjective_order"),
    ("He gave to me the keys.", "He gave me the keys.", "tell_object"),
    ("It is hard for find a flat here.", "It is hard to find a flat here.", "to_missing_adjective"),
    ("When we came, everyone has left.", "When we came, everyone had left.", "past_perfect"),
    ("It is late, please go home.", "It is late. Please go home.", "comma_splice"),
    ("However I think, that we should wait.", "However, I think that we should wait.", "comma_opener"),
    ("My family live in the country.", "My family lives in the country.", "agreement_collective"),
    ("Ten kilometres are a long way.", "Ten kilometres is a long way.", "agreement_amount"),
    ("Neither of the answers are correct.", "Neither of the answers is correct.", "agreement_one_of"),
    ("He lives near from Daegu.", "He lives near Daegu.", "despite_of"),
    ("I have never been in London.", "I have never been to London.", "been_to"),
    ("Only after dinner I could relax.", "Only after dinner could I relax.", "inversion_negative"),
    ("I heard him to sing.", "I heard him sing.", "see_ing"),
    ("It is no use to complain.", "It is no use complaining.", "fun_difficulty_ing"),
    ("I'm difficult to wake up early.", "It's difficult to wake up early.", "it_difficult"),
    ("She is important to sleep well.", "It is important to sleep well.", "it_difficult"),
    ("It is easy to me to cook.", "It is easy for me to cook.", "preposition"),
    ("I came because that I was ill.", "I came because I was ill.", "because_clause"),
    ("He studys hard.", "He studies hard.", "spelling_y_i"),
    ("I like reading swimming and cooking.", "I like reading, swimming and cooking.", "comma_list"),
    ("I every day drink coffee.", "I drink coffee every day.", "time_place"),
    ("It is the first time I eat kimchi.", "It is the first time I have eaten kimchi.", "perfect_until_now"),
    ("Tomorrow I go to the dentist.", "Tomorrow I am going to the dentist.", "arrangement"),
    ("I am born in Seoul.", "I was born in Seoul.", "past_story"),
    ("It takes an hour by a train.", "It takes an hour by train.", "transport_by"),
    ("We arrived at Korea.", "We arrived in Korea.", "preposition_city"),
    ("I'll be back after two hours.", "I'll be back in two hours.", "in_length"),
    ("She advised me don't eat it.", "She advised me not to eat it.", "not_to"),
    ("I remember to meet him last year.", "I remember meeting him last year.", "remember_ing"),
    ("I know a girl that her bag was stolen.", "I know a girl whose bag was stolen.", "whose"),
    ("In this room there has a piano.", "In this room there is a piano.", "there_has"),
    ("The reason because I came is simple.", "The reason why I came is simple.", "reason_is_that"),
    ("It is on May 3th.", "It is on May 3rd.", "ordinal_ending"),
    ("I have two childs, and I am happy.", "I have two children, and I am happy.", "irregular_plural"),
    ("The tent was small, however it kept us dry.", "The tent was small; however, it kept us dry.", "semicolon"),
    ("Lock the gate, otherwise the goats escape.", "Lock the gate; otherwise, the goats escape.", "semicolon"),
    ("The shirt is cheap, however it looks good.", "The shirt is cheap. However, it looks good.", "comma_splice"),
    ("My dog, Rex barks at every bike.", "My dog, Rex, barks at every bike.", "comma_around"),
    ("Thank you for your letter, we will answer it.", "Thank you for your letter. We will answer it.", "comma_splice"),
    ("Sorry for the noise, I am moving a bed.", "Sorry for the noise. I am moving a bed.", "comma_splice"),
    ("Sorry for the delay the lift was broken.", "Sorry for the delay; the lift was broken.", "semicolon"),
    ("Every time I sing the dog jumps out.", "Every time I sing, the dog jumps out.", "comma_clause"),
    ("It is far, so if you want we can drive.", "It is far, so if you want, we can drive.", "comma_clause"),
    ("We climbed a tower from where we saw ships.", "We climbed a tower, from where we saw ships.", "comma_relative"),
    ("The soup was so hot, that I burned my tongue.", "The soup was so hot that I burned my tongue.", "comma_that"),
    ("I cannot come, since I have a cold.", "I cannot come since I have a cold.", "comma_because"),
    (
        "At the party was announced that they marry.",
        "At the party, it was announced that they marry.",
        "subject_missing",
    ),
    ("He cut the cake in eight pieces.", "He cut the cake into eight pieces.", "preposition"),
    ("I can't log in in my bank account.", "I can't log in to my bank account.", "preposition"),
    ("Hold on the rope!", "Hold on to the rope!", "preposition_missing"),
    ("She leads a team with ten nurses.", "She leads a team of ten nurses.", "preposition"),
    ("We waited an hour on the border.", "We waited an hour at the border.", "preposition_fixed"),
    ("We saw the effect of music in children.", "We saw the effect of music on children.", "preposition"),
    ("She is still working at her book.", "She is still working on her book.", "preposition"),
    ("He believes in all that he hears.", "He believes all that he hears.", "preposition_extra"),
    ("I prefer tea than coffee.", "I prefer tea to coffee.", "preposition"),
    ("Regarding to the invoice, we agree.", "Regarding the invoice, we agree.", "despite_of"),
    ("She is the fastest girl from our school.", "She is the fastest girl in our school.", "in_world_superlative"),
    ("It was sung twice from a French band.", "It was sung twice by a French band.", "by_agent"),
    ("I have a sore throat since Monday.", "I have had a sore throat since Monday.", "perfect_since"),
    ("When I was ten, I have eaten snails.", "When I was ten, I ate snails.", "past_story"),
    ("Since we have bought the car, we walk less.", "Since we bought the car, we walk less.", "past_story"),
    ("I moved when I was having seven years.", "I moved when I was seven years old.", "be_age"),
    ("Our boss is agree with the date.", "Our boss agrees with the date.", "am_agree"),
    ("Please find attach my passport.", "Please find attached my passport.", "phrase"),
    ("He swims even if he is eighty now.", "He swims even though he is eighty now.", "even_though"),
    ("If it will not snow, we will walk.", "If it does not snow, we will walk.", "if_will"),
    ("If she will not come, we will walk.", "If she doesn't come, we will walk.", "if_will"),
    ("The sailors which saw it were afraid.", "The sailors who saw it were afraid.", "who_people"),
    ("The barber, that was old, cut my hair.", "The barber, who was old, cut my hair.", "who_people"),
    ("She spoke as if I would be a child.", "She spoke as if I were a child.", "if_were"),
    ("They need a clean air.", "They need clean air.", "article_extra_a"),
    ("He did a research about bees.", "He did some research about bees.", "article_extra_a"),
    ("The most of us were tired.", "Most of us were tired.", "article_extra_most"),
    ("How much costs this hat?", "How much does this hat cost?", "question_do"),
    ("Where live your parents?", "Where do your parents live?", "question_do"),
    ("Why likes he it?", "Why does he like it?", "question_do"),
    ("My niece speak already Greek.", "My niece already speaks Greek.", "adverb_before_verb"),
    ("Most of these trams runs at night.", "Most of these trams run at night.", "agreement_plural"),
    ("Some of the milk are sour.", "Some of the milk is sour.", "agreement_singular"),
    ("We made a list of shoes' sizes.", "We made a list of shoe sizes.", "singular_before_noun"),
    ("Each time when I sneeze, he laughs.", "Each time I sneeze, he laughs.", "doubled_conjunction"),
    ("The rents have raised by a third.", "The rents rose by a third.", "rise_raise"),
    ("A tower from where could we see it fell.", "A tower from where we could see it fell.", "order_moved"),
    ("He showed us old photographies.", "He showed us old photographs.", "false_friends"),
    ("I want new one.", "I want a new one.", "article_missing_a"),
    ("Excuse me is this your coat?", "Excuse me, is this your coat?", "comma_opener"),
    ("The bank is at your left side.", "The bank is on your left side.", "preposition_fixed"),
    ("I should move me more.", "I should move more.", "reflexive_extra"),
    ("The village is more livly now.", "The village is livelier now.", "comparative_er"),
]


@pytest.mark.parametrize(("before", "after", "point"), EVERYDAY, ids=[row[0] for row in EVERYDAY])
def test_an_everyday_edit_is_told_the_point_a_teacher_names(before: str, after: str, point: str) -> None:
    edits = annotator().edits(before, after)
    [told] = explain(*annotator().docs(before, after), edits)
    assert told.point == point
    assert told.edit_indexes == tuple(range(len(edits)))


def test_a_double_comparative_is_told_that_the_comparative_is_there() -> None:
    before, after = "It is getting more colder.", "It is getting colder."
    [told] = explain(*annotator().docs(before, after), annotator().edits(before, after))
    assert told.reason == '"colder" is already a comparative, so it takes no "more".'


def test_want_is_told_of_in_a_whole_sentence_and_not_with_cut_words() -> None:
    assert "{now}" not in load_points()["want_that"].en.short + load_points()["want_that"].ko.short


def test_a_word_and_a_comma_in_one_edit_are_told_the_point_of_the_word() -> None:
    before, after = "I have two childs and one of them is ill.", "I have two children, and one of them is ill."
    [edit] = annotator().edits(before, after)
    [told] = explain(*annotator().docs(before, after), [edit])
    assert edit.now == "children," and told.point == "irregular_plural" and '"children"' in told.reason


def test_a_splice_takes_no_rewording_beside_it_into_its_group() -> None:
    before, after = "I forgot it, please answer me fast.", "I forgot it. Please reply soon."
    _, reworded = explain(*annotator().docs(before, after), annotator().edits(before, after))
    assert reworded.point is None


@pytest.mark.parametrize(
    ("before", "after", "role"),
    [
        ("The bag that I bought it was cheap.", "The bag that I bought was cheap.", "the object"),
        ("I know a man that he lives here.", "I know a man that lives here.", "the subject"),
        ("I know a girl whose her father sings.", "I know a girl whose father sings.", "the possessive"),
    ],
)
def test_a_second_pronoun_is_told_what_the_relative_is_in_its_clause(before: str, after: str, role: str) -> None:
    [told] = explain(*annotator().docs(before, after), annotator().edits(before, after))
    assert told.point == "resumptive" and role in told.reason


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        ("There are a lot of furniture here.", "There is a lot of furniture here.", '"furniture"'),
        ("I am writting to you.", "I am writing to you.", '"write"'),
        ("Always I wanted to go.", "I have always wanted to go.", "elsewhere"),
        ("Not only he sang, but he danced.", "Not only did he sing, but he danced.", '"not only"'),
        ("It rained, therefore we left.", "It rained; therefore, we left.", "semicolon"),
        ("He gave it to my brother and I.", "He gave it to my brother and me.", '"me"'),
    ],
)
def test_a_reason_names_the_word_that_decides(before: str, after: str, part: str) -> None:
    told = explain(*annotator().docs(before, after), annotator().edits(before, after))
    assert any(part in each.reason for each in told)


def reasons(before: str, after: str) -> list[str]:
    edits = annotator().edits(before, after)
    return [each.reason for each in explain(*annotator().docs(before, after), edits)]


def test_words_that_only_moved_are_not_called_missing_or_better() -> None:
    told = reasons(
        "It is one of the films more famous of that year.", "It is one of the most famous films of that year."
    )
    assert any("natural place" in reason for reason in told)
    assert not any("missing" in reason or "more natural" in reason for reason in told)


def test_a_small_word_is_not_called_more_natural_than_another_word() -> None:
    told = reasons("We have a habit that we sleep late.", "We have a habit of sleeping late.")
    assert any('"of" stands in place of "that we"' in reason for reason in told)
    assert not any("more natural" in reason for reason in told)


def test_a_negative_with_do_quotes_its_own_verb() -> None:
    told = reasons("We have not enough chairs for to sit.", "We do not have enough chairs to sit on.")
    assert any('before "have"' in reason for reason in told)


def test_a_noun_of_several_words_is_quoted_whole() -> None:
    assert '"climate change"' in reasons("They wrote about the climate change.", "They wrote about climate change.")[0]


def test_a_short_form_beside_other_words_is_quoted_alone() -> None:
    assert any(reason.endswith('"I\'m".') for reason in reasons("I think im late.", "I think I'm late."))


def test_a_small_word_that_another_change_brought_in_has_not_moved() -> None:
    told = reasons("We stayed in the house to play at cards.", "We stayed at home to play cards.")
    assert not any("natural place" in reason for reason in told)
