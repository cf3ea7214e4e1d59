"""Countries by name: Mailchimp keeps an address's country as an ISO 3166 code (mailchimp note 3), people write names.

The names are the CLDR's in English (first), German, French, Spanish, Italian, Dutch, Portuguese, and what people of the
country call it. Pure.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from connectors.card import fold


def code_of(text: str) -> str:
    """The ISO 3166 code of a country, given by its code or its name; "" for a text that is neither."""
    word = text.strip()
    return word.upper() if word.upper() in _names() else _codes().get(fold(word), "")


def name_of(code: str) -> str:
    """The English name of a country by its code; a text that is no code is given back as it is."""
    return _names().get(code.strip().upper(), code)


@cache
def _names() -> dict[str, str]:
    return {code: names[0] for code, names in _rows()}


@cache
def _codes() -> dict[str, str]:
    return {fold(name): code for code, names in _rows() for name in names}


def _rows() -> list[tuple[str, list[str]]]:
    rows = _TABLE.replace("\n |", "|").strip().splitlines()
    return [(row[:2], row[3:].split("|")) for row in rows]


_TABLE: Final = """
AD Andorra|Andorre
AE United Arab Emirates|Vereinigte Arabische Emirate|Emirats Arabes Unis|Emiratos Árabes Unidos|Emirati Arabi Uniti
 |Verenigde Arabische Emiraten|Emirados Árabes Unidos|UAE
AF Afghanistan|Afganistán|Afeganistão
AG Antigua and Barbuda|Antigua und Barbuda|Antigua et Barbuda|Antigua y Barbuda|Antigua e Barbuda|Antigua en Barbuda
 |Antígua e Barbuda
AI Anguilla|Anguila
AL Albania|Albanien|Albanie|Albanië|Albânia|Shqipëria
AM Armenia|Armenien|Arménie|Armenië|Armênia
AN Netherlands Antilles|Niederländische Antillen|Antilles Néerlandaises|Antillas Holandesas|Antille Olandesi
 |Nederlandse Antillen|Antilhas Holandesas
AO Angola
AQ Antarctica|Antarktis|Antarctique|Antártida|Antartide
AR Argentina|Argentinien|Argentine|Argentinië
AS American Samoa|Amerikanisch-Samoa|Samoa américaines|Samoa Americana|Samoa americane|Amerikaans Samoa
AT Austria|Österreich|Autriche|Oostenrijk|Áustria
AU Australia|Australien|Australie|Australië|Austrália
AW Aruba
AX Åland Islands|Aaland-Inseln|Îles Åland|Islas Aland|Isole Aland|Alandeilanden|Ilhas Aland
AZ Azerbaijan|Aserbaidschan|Azerbaïdjan|Azerbaiyán|Azerbaigian|Azerbeidzjan|Azerbaijão
BA Bosnia and Herzegovina|Bosnien und Herzegowina|Bosnie-Herzégovine|Bosnia y Hercegovina|Bosnia-Erzegovina
 |Bosnië en Herzegovina|Bósnia-Herzegovina
BB Barbados|Barbade
BD Bangladesh|Bangladesch
BE Belgium|Belgien|Belgique|Bélgica|Belgio|België
BF Burkina Faso|Burquina Faso
BG Bulgaria|Bulgarien|Bulgarie|Bulgarije|Bulgária
BH Bahrain|Bahreïn|Bahráin|Bahrein
BI Burundi
BJ Benin|Benín
BL Saint Barthélemy|Saint-Barthélemy|San Bartolomé|São Bartolomeu
BM Bermuda|Bermudes|Bermudas
BN Brunei|Brunéi
BO Bolivia|Bolivien|Bolivie|Bolívia
BQ Bonaire, Sint Eustatius and Saba|Bonaire, Sint Eustatius und Saba|Bonaire, Saint-Eustache et Saba
 |Bonaire, San Eustaquio y Saba|Bonaire, Sint Eustatius e Saba
BR Brazil|Brasilien|Brésil|Brasil|Brasile|Brazilië
BS Bahamas|Bahama’s
BT Bhutan|Bhoutan|Bután|Butão
BV Bouvet Island|Bouvet-Insel|Île Bouvet|Isla Bouvet|Isola di Bouvet|Bouveteiland|Ilha Bouvet
BW Botswana|Botsuana
BY Belarus|Biélo-Russie|Bielorrusia|Bielorussia|Wit-Rusland
BZ Belize|Bélize|Belice
CA Canada|Kanada|Canadá
CC Cocos Islands|Kokos-Inseln|Îles Cocos|Islas Cocos|Isole Cocos|Cocoseilanden|Ilhas Coco
CD The Democratic Republic Of Congo|Demokratische Republik Kongo|République démocratique du Congo
 |República Democrática del Congo|Repubblica democratica del Congo|Congo-Kinshasa
CF Central African Republic|Zentralafrikanische Republik|République Centre-Africaine|República Centroafricana
 |Repubblica Centrafricana|Centraal-Afrikaanse Republiek|República Centro-Africana
CG Congo|Kongo|Congo - Brazzaville
CH Switzerland|Schweiz|Suisse|Suiza|Svizzera|Zwitserland|Suíça|Svizra
CI Côte d'Ivoire|Elfenbeinküste|Costa de Marfil|Costa d'Avorio|Ivoorkust|Costa do Marfim|Ivory Coast
CK Cook Islands|Cook-Inseln|Îles Cook|Islas Cook|Isole Cook|Cookeilanden|Ilhas Cook
CL Chile|Chili|Cile
CM Cameroon|Kamerun|Cameroun|Camerún|Camerun|Kameroen|República dos Camarões
CN China|Chine|Cina|中国
CO Colombia|Kolumbien|Colombie|Colômbia
CR Costa Rica
CU Cuba|Kuba
CV Cape Verde|Kap Verde|Cap Vert|Cabo Verde|Capo Verde|Kaapverdië
CW Curaçao
CX Christmas Island|Weihnachtsinsel|Île Christmas|Isla Christmas|Isola di Natale|Christmaseiland|Ilhas Natal
CY Cyprus|Zypern|Chypre|Chipre|Cipro
CZ Czech Republic|Tschechische Republik|République Tchèque|Chequia|Repubblica Ceca|Tsjechië|República Tcheca|Czechia
 |Česko|Česká republika
DE Germany|Deutschland|Allemagne|Alemania|Germania|Duitsland|Alemanha
DJ Djibouti|Dschibuti|Yibuti|Gibuti|Djibuti
DK Denmark|Dänemark|Danemark|Dinamarca|Danimarca|Denemarken|Danmark
DM Dominica|Dominique
DO Dominican Republic|Dominikanische Republik|République Dominicaine|República Dominicana|Repubblica Dominicana
 |Dominicaanse Republiek
DZ Algeria|Algerien|Algérie|Argelia|Algerije|Argélia
EC Ecuador|Equateur|Equador
EE Estonia|Estland|Estonie|Estônia|Eesti
EG Egypt|Ägypten|Egypte|Egipto|Egitto|Egito
EH Western Sahara|Westsahara|Sahara Occidental|Sahara Occidentale|Westelijke Sahara|Saara Ocidental
ER Eritrea|Erythrée|Eritreia
ES Spain|Spanien|Espagne|España|Spagna|Spanje|Espanha
ET Ethiopia|Äthiopien|Ethiopie|Etiopía|Etiopia|Ethiopië|Etiópia
FI Finland|Finnland|Finlande|Finlandia|Finlândia|Suomi
FJ Fiji|Fidschi|Fidji|Fiyi|Figi
FK Falkland Islands|Falkland-Inseln|Îles Malouines|Islas Malvinas|Isole Falkland|Falklandeilanden|Ilhas Malvinas
FM Micronesia|Mikronesien|Micronésie|Micronesië|Micronésia
FO Faroe Islands|Färöer-Inseln|Îles Féroé|Islas Feroe|Isole Færoer|Faeröer|Ilhas Faroe
FR France|Frankreich|Francia|Frankrijk|França
GA Gabon|Gabun|Gabón|Gabão
GB United Kingdom|Vereinigtes Königreich|Royaume-Uni|Reino Unido|Regno Unito|Verenigd Koninkrijk|UK|U.K.|Great Britain
 |England|Scotland|Wales|Northern Ireland|Großbritannien|Grande-Bretagne|Gran Bretaña|Gran Bretagna|Groot-Brittannië
GD Grenada|Grenade|Granada
GE Georgia|Georgien|Géorgie|Georgië|Geórgia
GF French Guiana|Französisch-Guayana|Guyane française|Guayana Francesa|Guayana Francese|Frans-Guyana|Guiana Francesa
GG Guernsey|Guernesey
GH Ghana|Gana
GI Gibraltar|Gibilterra
GL Greenland|Grönland|Groenland|Groenlandia|Groênlandia
GM Gambia|Gambie|Gâmbia
GN Guinea|Guinée|Guinee|Guiné
GP Guadeloupe|Guadalupe|Guadalupa
GQ Equatorial Guinea|Äquatorial-Guinea|Guinée Equatoriale|Guinea Ecuatorial|Guinea Equatoriale|Equatoriaal-Guinea
 |Guiné Equatorial
GR Greece|Griechenland|Grèce|Grecia|Griekenland|Grécia|Ελλάδα
GS South Georgia And The South Sandwich Islands|Süd-Georgia und die südlichen Sandwich-Inseln
 |Géorgie du Sud et îles Sandwich du Sud|Islas Georgia del Sur y Sandwich del Sur
 |Georgia del sud e isole Sandwich meridionali|Zuid-Georgië en Zuidelijke Sandwicheilanden
 |Geórgia do Sul e Ilhas Sandwich do Sul
GT Guatemala
GU Guam
GW Guinea-Bissau|Guinée-Bissau|Guinea Bissau|Guinee-Bissau|Guiné Bissau
GY Guyana|Guiana
HK Hong Kong|Hongkong|Hong-Kong|Hongkong SAR van China|Hong Kong, Região Admin. Especial da China
HM Heard Island And McDonald Islands|Heard- und McDonald-Inseln|Île Heard et îles McDonald|Islas Heard y McDonald
 |Isole Heard e McDonald|Heard- en McDonaldeilanden|Ilha Heard e Ilhas McDonald
HN Honduras
HR Croatia|Kroatien|Croatie|Croacia|Croazia|Kroatië|Croácia|Hrvatska
HT Haiti|Haïti|Haití
HU Hungary|Ungarn|Hongrie|Hungría|Ungheria|Hongarije|Hungria|Magyarország
ID Indonesia|Indonesien|Indonésie|Indonesië|Indonésia
IE Ireland|Irland|Irlande|Irlanda|Ierland|Éire
IL Israel|Israël|Israele
IM Isle Of Man|Ile de Man|Isla de Man|Isola di Man|Ilha de Man
IN India|Indien|Inde|Índia|Bharat
IO British Indian Ocean Territory|Britische Territorien im Indischen Ozean|Territoires britanniques de l'Océan Indien
 |Territorio Británico del Océano Índico|Territorio britannico dell'Oceano Indiano
 |Britse Gebieden in de Indische Oceaan|Território Britânico do Oceano Índico
IQ Iraq|Irak|Iraque
IR Iran|Irán|Irã
IS Iceland|Island|Islande|Islandia|Islanda|IJsland|Islândia|Ísland
IT Italy|Italien|Italie|Italia|Italië|Itália
JE Jersey
JM Jamaica|Jamaika|Jamaïque|Giamaica
JO Jordan|Jordanien|Jordanie|Jordania|Giordania|Jordanië|Jordânia
JP Japan|Japon|Japón|Giappone|Japão|日本
KE Kenya|Kenia|Quênia
KG Kyrgyzstan|Kirgistan|Kirguizistán|Kirghizistan|Kirgizië|Quirguistão
KH Cambodia|Kambodscha|Cambodge|Camboya|Cambogia|Cambodja|Camboja
KI Kiribati|Quiribati
KM Comoros|Komoren|Comores|Comore|Comoren
KN Saint Kitts And Nevis|Saint Kitts und Nevis|Saint-Christophe-et-Niévès|San Cristóbal y Nieves|Saint Kitts e Nevis
 |Saint Kitts en Nevis|São Cristovão e Nevis
KP North Korea|Nordkorea|Corée du Nord|Corea del Norte|Corea del Nord|Noord-Korea|Coreia do Norte
KR South Korea|Südkorea|Corée du Sud|Corea del Sur|Corea del Sud|Zuid-Korea|Coreia do Sul|Korea|Republic of Korea
KW Kuwait|Koweit|Koeweit
KY Cayman Islands|Kaiman-Inseln|Îles Caïmans|Islas Caimán|Isole Cayman|Caymaneilanden|Ilhas Caiman
KZ Kazakhstan|Kasachstan|Kazajstán|Kazachstan|Casaquistão
LA Laos|República Popular Democrática do Laos
LB Lebanon|Libanon|Liban|Líbano|Libano
LC Saint Lucia|St. Lucia|Sainte-Lucie|Santa Lucia|Sainte Lucia|Santa Lúcia
LI Liechtenstein
LK Sri Lanka
LR Liberia|Libéria
LS Lesotho|Lesoto
LT Lithuania|Litauen|Lithuanie|Lituania|Litouwen|Lituânia|Lietuva
LU Luxembourg|Luxemburg|Luxemburgo|Lussemburgo
LV Latvia|Lettland|Lettonie|Letonia|Lettonia|Letland|Letônia|Latvija
LY Libya|Libyen|Libye|Libia|Libië|Líbia
MA Morocco|Marokko|Maroc|Marruecos|Marocco|Marrocos
MC Monaco|Mónaco|Mônaco
MD Moldova|Moldau|Moldavie|Moldavia|Moldavië|Moldávia
ME Montenegro|Monténégro
MF Saint Martin|St. Martin|Saint-Martin|San Martín|São Martinho
MG Madagascar|Madagaskar
MH Marshall Islands|Marshall-Inseln|Îles Marshall|Islas Marshall|Isole Marshall|Marshalleilanden|Ilhas Marshall
MK Macedonia|Mazedonien|Macédoine|Macedonië|Macedônia|North Macedonia
ML Mali|Malí
MM Myanmar|Mianmar [Birmânia]
MN Mongolia|Mongolei|Mongolie|Mongolië|Mongólia
MO Macao|Macao SAR van China|Macau, Região Admin. Especial da China
MP Northern Mariana Islands|Nördliche Mariannen-Inseln|Îles Mariannes du Nord|Islas Marianas del Norte
 |Isole Marianne settentrionali|Noordelijke Marianeneilanden|Ilhas Marianas do Norte
MQ Martinique|Martinica
MR Mauritania|Mauretanien|Mauritanie|Mauritanië|Mauritânia
MS Montserrat
MT Malta|Malte
MU Mauritius|Maurice|Mauricio|Maurizio|Maurício
MV Maldives|Maldiven|Maldivas|Maldive
MW Malawi|Malaui
MX Mexico|Mexiko|Mexique|México|Messico
MY Malaysia|Malaisie|Malasia|Maleisië|Malásia
MZ Mozambique|Mosambik|Mozambico|Moçambique
NA Namibia|Namibie|Namibië|Namíbia
NC New Caledonia|Neukaledonien|Nouvelle-Calédonie|Nueva Caledonia|Nuova Caledonia|Nieuw-Caledonië|Nova Caledônia
NE Niger|Níger
NF Norfolk Island|Norfolk-Insel|Île Norfolk|Isla Norfolk|Isola Norfolk|Norfolkeiland|Ilha Norfolk
NG Nigeria|Nigéria
NI Nicaragua|Nicarágua
NL Netherlands|Niederlande|Pays-Bas|Holanda|Paesi Bassi|Nederland|Holland
NO Norway|Norwegen|Norvège|Noruega|Norvegia|Noorwegen|Norge|Noreg
NP Nepal|Népal
NR Nauru
NU Niue
NZ New Zealand|Neuseeland|Nouvelle-Zélande|Nueva Zelanda|Nuova Zelanda|Nieuw-Zeeland|Nova Zelândia
OM Oman|Omán|Omã
PA Panama|Panamá
PE Peru|Pérou|Perú|Perù
PF French Polynesia|Französisch-Polynesien|Polynésie Française|Polinesia Francesa|Polinesia Francese|Frans-Polynesië
 |Polinésia Francesa
PG Papua New Guinea|Papua-Neuguinea|Papouasie-Nouvelle-Guinée|Papúa New Guinea|Papua Nuova Guinea|Papoea-Nieuw-Guinea
 |Papua-Nova Guiné
PH Philippines|Philippinen|Filipinas|Filippine|Filipijnen
PK Pakistan|Paquistán|Paquistão
PL Poland|Polen|Pologne|Polonia|Polônia|Polska
PM Saint Pierre And Miquelon|St. Pierre und Miquelon|Saint-Pierre-et-Miquelon|San Pedro y Miquelón
 |Saint Pierre e Miquelon|Saint Pierre en Miquelon
PN Pitcairn|Islas Pitcairn
PR Puerto Rico|Porto Rico
PS Palestine|Palästina|Palestina|Palestijns Gebied|Territórios palestinos
PT Portugal|Portogallo
PW Palau|Belau|Palaos
PY Paraguay|Paraguai
QA Qatar|Katar|Catar
RE Reunion|La Réunion|Reunión|Réunion|Reunião
RO Romania|Rumänien|Roumanie|Rumania|Roemenië|Romênia|România
RS Serbia|Serbien|Serbie|Servië|Sérvia|Srbija
RU Russia|Russland|Russie|Rusia|Rusland|Rússia|Russian Federation
RW Rwanda|Ruanda
SA Saudi Arabia|Saudi-Arabien|Arabie Saoudite|Arabia Saudita|Saoedi-Arabië|Arábia Saudita
SB Solomon Islands|Solomon-Inseln|Îles Salomon|Islas Salomón|Isole Solomon|Salomonseilanden|Ilhas Salomão
SC Seychelles|Seychellen
SD Sudan|Soudan|Sudán|Soedan|Sudão
SE Sweden|Schweden|Suède|Suecia|Svezia|Zweden|Suécia|Sverige
SG Singapore|Singapur|Singapour|Cingapura
SH Saint Helena|St. Helena|Sainte-Hélène|Santa Helena|Sant'Elena|Sint-Helena
SI Slovenia|Slowenien|Slovénie|Eslovenia|Slovenië|Eslovênia|Slovenija
SJ Svalbard And Jan Mayen|Svalbard und Jan Mayen|Svalbard et Jan Mayen|Svalbard y Jan Mayen|Svalbard e Jan Mayen
 |Svalbard en Jan Mayen
SK Slovakia|Slowakei|Slovaquie|Eslovaquia|Slovacchia|Slowakije|Eslováquia|Slovensko
SL Sierra Leone|Sierra Leona|Serra Leoa
SM San Marino|Saint-Marin
SN Senegal|Sénégal
SO Somalia|Somalie|Somalië|Somália
SR Suriname|Surinam
SS South Sudan|Südsudan|Sud-Soudan|Sudán del Sur|Sudan del Sud
ST Sao Tome And Principe|Sao Tome und Principe|Sao Tomé et Principe|Santo Tomé y Príncipe|São Tomé e Principe
 |Sao Tomé en Principe|São Tomé e Príncipe
SV El Salvador
SX Sint Maarten (Dutch part)|Sint Maarten (Niederländischer Teil)|Saint-Martin (partie néerlandaise)
 |San Martín (región holandesa)|Sint Maarten (parte olandese)
SY Syria|Syrien|Syrie|Siria|Syrië|Síria
SZ Swaziland|Swasiland|Suazilandia|Suazilândia|Eswatini
TC Turks And Caicos Islands|Turks- und Caicos-Inseln|Îles Turks et Caicos|Islas Turcas y Caicos|Isole Turks e Caicos
 |Turks- en Caicoseilanden|Ilhas Turks e Caicos
TD Chad|Tschad|Tchad|Ciad|Tsjaad|Chade
TF French Southern Territories|Französische Südgebiete|Territoires Français du Sud|Territorios Franceses del Sur
 |Territori Francesi d'Oltremare|Franse Gebieden in de zuidelijke Indische Oceaan|Territórios Franceses do Sul
TG Togo
TH Thailand|Thaïlande|Tailandia|Thailandia|Tailândia
TJ Tajikistan|Tadschikistan|Tadjikistan|Tayikistán|Tagikistan|Tadzjikistan|Tadjiquistão
TK Tokelau
TL Timor-Leste|Timor Oriental|Timor Leste|Oost-Timor
TM Turkmenistan|Turkménistan|Turkmenistán|Turcomenistão
TN Tunisia|Tunesien|Tunisie|Túnez|Tunesië|Tunísia
TO Tonga
TR Turkey|Türkei|Turquie|Turquía|Turchia|Turkije|Turquia|Türkiye
TT Trinidad and Tobago|Trinidad und Tobago|Trinité-et-Tobago|Trinidad y Tobago|Trinidad e Tobago|Trinidad en Tobago
TV Tuvalu
TW Taiwan|Taiwán|台灣
TZ Tanzania|Tansania|Tanzanie|Tanzânia
UA Ukraine|Ucrania|Ucraina|Oekraïne|Ucrânia|Україна
UG Uganda|Ouganda|Oeganda
UM United States Minor Outlying Islands|Übrige Inseln im Pazifik der USA|Dépendances américaines du Pacifique
 |Islas menores alejadas de los Estados Unidos|Isole minori lontane degli Stati Uniti
 |Amerikaanse kleinere afgelegen eilanden|Ilhas Menores Distantes dos Estados Unidos
US United States|Vereinigte Staaten von Amerika|Etats-Unis|Estados Unidos|Stati Uniti|Verenigde Staten|USA|U.S.A.
 |United States of America
UY Uruguay|Uruguai
UZ Uzbekistan|Usbekistan|Ouzbékistan|Uzbekistán|Oezbekistan|Uzbequistão
VA Vatican|Vatikanstadt|Ciudad del Vaticano|Città del Vaticano|Vaticaanstad|Vaticano
VC Saint Vincent And The Grenadines|St. Vincent und die Grenadinen|Saint-Vincent-et-les Grenadines
 |San Vicente y las Granadinas|Saint Vincent e Grenadine|Saint Vincent en de Grenadines|São Vicente e Granadinas
VE Venezuela|Vénézuela
VG British Virgin Islands|Britische Jungferninseln|Iles Vierges Britanniques|Islas Vírgenes Británicas
 |Isole Vergini (GB)|Britse Maagdeneilanden|Ilhas Virgens Britânicas
VI U.S. Virgin Islands|Amerikanische Jungferninseln|Iles Vierges Américaines|Islas Vírgenes Americanas
 |Isole Vergini (USA)|Amerikaanse Maagdeneilanden|Ilhas Virgens dos EUA
VN Vietnam|Vietnã|Viet Nam
VU Vanuatu
WF Wallis And Futuna|Wallis und Futuna|Wallis-et-Futuna|Wallis y Futuna|Wallis e Futuna|Wallis en Futuna
WS Samoa
XK Kosovo|Kosova
YE Yemen|Jemen|Yémen|Iêmen
YT Mayotte|Mayotta
ZA South Africa|Südafrika|Afrique du Sud|Sudáfrica|Sudafrica|Zuid-Afrika|África do Sul
ZM Zambia|Sambia|Zambie|Zâmbia
ZW Zimbabwe|Simbabwe|Zimbabue|Zimbábue
"""
