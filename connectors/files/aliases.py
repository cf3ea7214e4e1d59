"""The headers that are known, in a table: a field path, then every spelling of it that we have met.

Case, accents, blanks and punctuation do not count; numbers, "Work", "Home", "Type" and "Value" are read apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_TABLE: Final = """
name/full
    Name, Full Name, Display Name, Contact, Contact Name, Person, Customer Name, Vollständiger Name,
    Anzeigename, Ansprechpartner, Kontakt, Nom complet, Nombre completo, Nome completo, Volledige naam
name/title
    Prefix, Name Prefix, Salutation, Honorific, Honorific Prefix, Anrede, Titel, Akad. Titel, Civilité
name/given
    First Name, First, Given Name, Forename, Forenames, FName, Vorname, Vornamen, Rufname, Prénom, Nombre,
    Voornaam, Förnamn, Fornavn, Imię, Christian Name
name/given2
    Middle Name, Middle, Middle Names, Additional Name, Middle Initial, Weitere Vornamen, Zweiter Vorname
name/surname
    Last Name, Last, Surname, Family Name, LName, Nachname, Familienname, Zuname, Nom, Nom de famille, Apellido,
    Apellidos, Cognome, Achternaam, Efternamn, Etternavn, Nazwisko
name/surname2
    Second Last Name, Second Surname, Segundo apellido
name/generation
    Generation
name/credential
    Suffix, Name Suffix, Credentials, Honorific Suffix, Namenszusatz
name/given.phonetic
    Phonetic First Name, Given Name Yomi, Yomi First Name, First Name Phonetic
name/given2.phonetic
    Phonetic Middle Name, Additional Name Yomi
name/surname.phonetic
    Phonetic Last Name, Family Name Yomi, Yomi Last Name, Last Name Phonetic
nicknames
    Nickname, Nick, Spitzname, Surnom, Apodo
organizations
    Company, Company Name, Organization, Organisation, Organization Name, Organisation Name, Account Name,
    Employer, Business Name, Firma, Firmenname, Unternehmen, Société, Entreprise, Empresa, Azienda, Bedrijf,
    Verein
organizations/units
    Department, Dept, Division, Abteilung, Organization Department, Company Department
titles
    Job Title, Job, Position, Organization Title, Occupation, Function, Funktion, Stellenbezeichnung, Fonction,
    Cargo, Functie, Berufsbezeichnung
titles/role
    Role, Rolle
emails/work
    Firmen-Mail, Firmen E-Mail, Geschäftsmail, Arbeitsmail
emails/home
    Privatmail, Private Mail
addresses/work
    Geschäftsadresse, Firmenadresse, Firmenanschrift
addresses/home
    Privatadresse, Privatanschrift
addresses/other/region
    Weiteres/r Bundesland/Kanton
addresses/other/country
    Weiteres/e Land/Region
emails
    Email, E-mail, Email Address, E-Mail-Adresse, E-mail Addresses, Emails, Mail, Mail Address, Mailadresse,
    Primary Email, Email Primary, Courriel, Adresse e-mail, Adresse électronique, Correo, Correo electrónico,
    Posta elettronica, E-postadresse, E-mailadres
phones
    Phone, Phone Number, Phone No, Phones, Telephone, Telephone Number, Tel, Tel Nr, Tel No, Telefon,
    Telefonnummer, Telefon-Nr, Rufnummer, Téléphone, Teléfono, Telefono, Telefoon, Contact Number, Festnetz,
    Landline, Primary Phone, Main Number
phones/mobile
    Mobile, Mobile Phone, Mobile Number, Mobile No, Cell, Cell Phone, Cell Number, Cellular, Handy, Handynummer,
    Mobil, Mobiltelefon, Mobilnummer, Mobilfunk, Mobil-Nr, Portable, Téléphone portable, Móvil, Cellulare,
    Mobiel
phones/fax
    Fax, Fax Number, Fax No, Telefax, Faxnummer, Fax-Nr
phones/work
    Company Phone, Geschäftstelefon, Firmentelefon, Durchwahl
phones/home
    Privattelefon, Private Nummer
phones/main
    Main Phone, Company Main Phone, Haupttelefon, Zentrale, Switchboard, Telefon Firma
phones/pager
    Pager
phones/=Assistant
    Assistant's Phone, Assistant Phone, Telefon Assistent
phones/=Callback
    Callback, Rückmeldung
phones/=Car
    Car Phone, Autotelefon
phones/=Radio
    Radio Phone, Mobilfunk Radio
phones/=ISDN
    ISDN
phones/=Telex
    Telex
phones/=TTY
    TTY/TDD Phone, Telefon für Hörbehinderte
addresses
    Street, Street Address, Address, Address 1, Addr 1, Address Line, Address Line 1, Address Street, Address
    Street 1, Street 1, Street Name, Straße, Strasse, Straße 1, Straße Nr, Straße und Hausnummer, Straße
    Hausnummer, Straße HausNr, Anschrift, Adresse, Adresse 1, Adresszeile 1, Adresse Straße, Rue, Calle, Via,
    Indirizzo, Dirección, Straat
addresses/number
    Hausnummer, Haus-Nr, House Number, Huisnummer
addresses/lines2
    Address 2, Addr 2, Address Line 2, Street 2, Address Street 2, Street Address 2, Extended Address, Address
    Extended Address, Straße 2, Adresse 2, Adresszeile 2, Adresszusatz, Apartment, Suite, Complément d'adresse
addresses/lines3
    Address 3, Addr 3, Address Line 3, Street 3, Address Street 3, Straße 3, Adresszeile 3
addresses/lines4
    Address 4, Addr 4, Address Line 4
addresses/lines5
    Address 5, Addr 5, Address Line 5
addresses/full
    Address Formatted, Formatted Address, Full Address, Postal Address, Postanschrift, Mailing Address
addresses/type
    Address Type, Address Label
addresses/postOfficeBox
    PO Box, P.O. Box, Address PO Box, Postfach, Post Office Box, Boîte postale
addresses/locality
    City, Town, Locality, Address City, Address Town, City/Town, Suburb, Ort, Stadt, Wohnort, PLZ-Ort, Ville,
    Ciudad, Città, Plaats, Stad, Miasto
addresses/region
    State, Province, County, Region, State/Province, State/County, State/Region, County/State, Address State,
    Address Region, Bundesland, Kanton, Bundesland/Kanton, Provincia
addresses/postcode
    Zip, Zip Code, Zipcode, Postal Code, Postcode, Post Code, Zip/Postal Code, Postal/Zip Code, Address Zip,
    Address Postal Code, PLZ, Postleitzahl, Code postal, Código postal, CAP, Postnummer
addresses/country
    Country, Country/Region, Land, Land/Region, Address Country, Country Name, Pays, País, Paese, Staat
addresses/countryCode
    Country Code, Address Country Code, Ländercode, Länderkürzel
anniversaries/birth
    Birthday, Birth Date, Date of Birth, DOB, Geburtstag, Geburtsdatum, Geb. Datum, Date de naissance, Fecha de
    nacimiento
anniversaries/wedding
    Anniversary, Wedding Anniversary, Jahrestag, Hochzeitstag
anniversaries/death
    Date of Death, Todestag, Sterbedatum
notes
    Notes, Note, Comment, Comments, Remark, Remarks, Notiz, Notizen, Bemerkung, Bemerkungen, Anmerkung,
    Anmerkungen, Kommentar, Commentaires, Notas
links
    Website, Web Site, Web Page, Webpage, URL, Homepage, Home Page, Web, Webseite, Internet, Internetseite,
    Internetadresse, Site web, Sitio web
onlineServices/LinkedIn
    LinkedIn, LinkedIn URL, LinkedIn Profile, LinkedIn Profile URL
onlineServices/Xing
    Xing, Xing URL, Xing Profil
onlineServices/Twitter
    Twitter, Twitter Handle
onlineServices/Facebook
    Facebook, Facebook URL
onlineServices/Instagram
    Instagram
onlineServices/Skype
    Skype, Skype ID, Skype Name
onlineServices
    IM, IM Address, Instant Messaging
onlineServices/service
    IM Service
onlineServices/type
    IM Type, IM Label
relations
    Relation, Related Person
relations/spouse
    Spouse, Spouse's Name, Partner, Ehepartner, Partner(in), Conjoint
relations/child
    Children, Child, Kinder, Kind(er)
relations/assistant
    Assistant's Name, Assistant Name, Assistant, Assistent, Assistent(in), Name Assistent
relations/manager
    Manager's Name, Manager, Vorgesetzter, Name des/der Vorgesetzten
keywords
    Tags, Tag, Keywords, Stichworte, Stichwörter, Schlagworte, Schlagwörter, Étiquettes
groups
    Groups, Group, Group Membership, Labels, Categories, Category, Kategorien, Kategorie, Gruppe, Gruppen,
    Verteiler, Lists
id
    ID, Contact ID, ContactID, Record ID, Customer ID, Customer No, Customer Number, Kundennummer, Kunden-Nr,
    KdNr, Client ID, Member ID, Mitgliedsnummer, Mitglieds-Nr, EUID, LEID, UID, GUID, UUID, External ID, URN,
    Row ID
onlineServices/uri
    IM Link
titles/type
    Job Title Type
"""


def aliases() -> Iterator[tuple[str, str]]:
    """Every (header, field path)."""
    for block in re.split(r"\n(?=\S)", _TABLE.strip()):
        path, names = block.split("\n", 1)
        yield from ((" ".join(name.split()), path) for name in names.split(","))
